//! As much of HTTP as a page for one's own machine needs: a request is read, one answer goes back, the connection ends.
//!
//! A library for this would be larger than all it serves; whoever wants TLS, users or many connections puts a proxy in front.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Whoever says nothing for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longer than the head of any request that a browser or a collector sends.
const HEAD_MAX: u64 = 16 << 10;

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without its query.
    pub(super) path: String,
    /// Under which name we were asked.
    pub(super) host: Option<String>,
}

/// What goes back.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) kind: &'static str,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn text(status: u16, words: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: words.as_bytes().to_vec() }
    }

    pub(super) fn html(page: String) -> Self {
        Self { status: 200, kind: "text/html; charset=utf-8", body: page.into_bytes() }
    }

    fn head(&self) -> String {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Service Unavailable",
        };
        format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
             Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n\r\n",
            self.status,
            self.kind,
            self.body.len(),
        )
    }
}

/// Serves one connection. What goes wrong with it is its other end's business.
pub(super) fn serve(stream: TcpStream, answer: impl FnOnce(&Request) -> Answer) {
    if let Err(error) = try_serve(stream, answer) {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn try_serve(stream: TcpStream, answer: impl FnOnce(&Request) -> Answer) -> io::Result<()> {
    // It may have taken this over from the socket that listens.
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = read(BufReader::new((&stream).take(HEAD_MAX)))?;
    let (answer, is_head) = match &request {
        Some(request) => (answer(request), request.method == "HEAD"),
        None => (Answer::text(400, "this is no request\n"), false),
    };
    let mut stream = stream;
    stream.write_all(answer.head().as_bytes())?;
    if !is_head {
        stream.write_all(&answer.body)?;
    }
    stream.flush()
}

/// Reads the head of a request; nothing where it is none.
fn read(mut from: impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    let mut words = line.trim_end().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1" | "HTTP/1.0"), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Ok(None);
    };
    let path = target.split_once('?').map_or(target, |(path, _)| path).to_owned();
    let mut request = Request { method: method.to_owned(), path, host: None };
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(Some(request));
        }
        let Some((name, value)) = line.split_once(':') else { return Ok(None) };
        if name.eq_ignore_ascii_case("host") && request.host.replace(value.trim().to_owned()).is_some() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(text: &str) -> Option<Request> {
        read(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_request_is_read_and_nothing_else_is_one() {
        let read = request("GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:9417\r\nAccept: */*\r\n\r\nbody");
        let wanted =
            Request { method: "GET".into(), path: "/metrics".into(), host: Some("localhost:9417".into()) };
        assert_eq!(read, Some(wanted));
        for bad in [
            "",
            "GET /\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1 x\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        ] {
            assert_eq!(request(bad), None, "{bad:?}");
        }
    }
}
