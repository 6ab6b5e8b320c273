//! A proxy between a store and its server that fails as networks and servers do, at requests of the test's choice.
//!
//! A connection carries one request, so that every request has a number. What is signed (method, path, host, body)
//! passes unchanged.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// An error of the server that has done nothing.
    Status(u16, &'static str),
    /// An error of the server that has done what was asked.
    StatusAfter(u16, &'static str),
    /// The connection breaks before the server hears anything.
    ResetBefore,
    /// The server does what was asked, and the connection breaks before it says so.
    ResetAfter,
    /// Half of the answer's body, then the end.
    HalfAnswer,
    /// The answer comes at so slow a pace that it never ends.
    Stall,
    /// The answer comes at a kilobyte a second.
    Trickle,
    /// A page of a listing that says it is whole and lacks its last object, and says how many it should hold.
    ShortPage,
    /// A page of a listing that says there are more and not where.
    LostPage,
}

/// Everything that passes or may happen.
pub const MISHAPS: [Mishap; 9] = [
    Mishap::Status(500, "InternalError"),
    Mishap::Status(503, "SlowDown"),
    Mishap::Status(429, "TooManyRequests"),
    Mishap::StatusAfter(500, "InternalError"),
    Mishap::ResetBefore,
    Mishap::ResetAfter,
    Mishap::HalfAnswer,
    Mishap::ShortPage,
    Mishap::Status(400, "ExpiredToken"),
];

/// Which mishap, if any, befalls the request of this number.
pub type Plan = dyn Fn(u64) -> Option<Mishap> + Send + Sync;

/// A running proxy.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    upstream: u16,
    requests: AtomicU64,
    befallen: AtomicU64,
    plan: Mutex<Arc<Plan>>,
    ended: AtomicBool,
}

impl Proxy {
    /// Starts a proxy before the server on that port; nothing befalls anything yet.
    #[must_use]
    pub fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let state = Arc::new(State {
            upstream,
            requests: AtomicU64::new(0),
            befallen: AtomicU64::new(0),
            plan: Mutex::new(Arc::new(|_| None)),
            ended: AtomicBool::new(false),
        });
        let served = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if served.ended.load(Ordering::Acquire) {
                    return;
                }
                let state = Arc::clone(&served);
                thread::spawn(move || state.serve(client));
            }
        });
        Self { port, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on this befalls requests, which are counted anew.
    pub fn plan(&self, plan: impl Fn(u64) -> Option<Mishap> + Send + Sync + 'static) {
        *self.state.plan.lock().expect("the plan") = Arc::new(plan);
        self.state.requests.store(0, Ordering::Release);
        self.state.befallen.store(0, Ordering::Release);
    }

    /// How many requests came since the plan was made.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Acquire)
    }

    /// How many of them had a mishap.
    #[must_use]
    pub fn befallen(&self) -> u64 {
        self.state.befallen.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Release);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn serve(&self, mut client: TcpStream) {
        let Some(request) = read_message(&mut client) else { return };
        let number = self.requests.fetch_add(1, Ordering::AcqRel);
        let plan = Arc::clone(&self.plan.lock().expect("the plan"));
        let mishap = plan(number);
        if mishap.is_some() {
            self.befallen.fetch_add(1, Ordering::AcqRel);
        }
        match mishap {
            Some(Mishap::ResetBefore) => reset(&client),
            Some(Mishap::Status(status, code)) => refuse(&mut client, status, code),
            _ => {
                let Some(answer) = self.forward(&request) else { return reset(&client) };
                befall(&mut client, &answer, mishap);
            }
        }
    }

    /// Sends a request on a connection of its own, and reads the answer to its end.
    fn forward(&self, request: &Message) -> Option<Message> {
        let mut server = TcpStream::connect(("127.0.0.1", self.upstream)).ok()?;
        server.write_all(&closing(&request.head)).ok()?;
        server.write_all(&request.body).ok()?;
        read_answer(&mut server)
    }
}

fn befall(client: &mut TcpStream, answer: &Message, mishap: Option<Mishap>) {
    let send = |client: &mut TcpStream, body: &[u8]| {
        let _ = client.write_all(&closing(&answer.head)).and_then(|()| client.write_all(body));
    };
    match mishap {
        Some(Mishap::StatusAfter(status, code)) => refuse(client, status, code),
        Some(Mishap::ResetAfter) => reset(client),
        Some(Mishap::HalfAnswer) => {
            // An answer without a body is cut in its head: half of nothing is no mishap.
            match answer.body.get(..answer.body.len() / 2) {
                Some(half) if !half.is_empty() => send(client, half),
                _ => {
                    let _ = client.write_all(b"HTTP/1.1 200");
                }
            }
        }
        Some(Mishap::Stall) => {
            let _ = client.write_all(&closing(&answer.head));
            for byte in &answer.body {
                if client.write_all(&[*byte]).is_err() {
                    return;
                }
                thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        Some(Mishap::Trickle) => {
            let _ = client.write_all(&closing(&answer.head));
            for piece in answer.body.chunks(50) {
                if client.write_all(piece).is_err() {
                    return;
                }
                thread::sleep(std::time::Duration::from_millis(50));
            }
        }
        Some(Mishap::ShortPage | Mishap::LostPage) => {
            let (head, body) = mangled(answer, mishap == Some(Mishap::LostPage));
            let _ = client.write_all(&closing(&head)).and_then(|()| client.write_all(&body));
        }
        _ => send(client, &answer.body),
    }
    let _ = client.shutdown(Shutdown::Write);
}

/// A listing without its last object, or one that claims to go on; anything else as it is.
fn mangled(answer: &Message, lost: bool) -> (String, Vec<u8>) {
    let whole = || (answer.head.clone(), answer.body.clone());
    let Ok(text) = std::str::from_utf8(&answer.body) else { return whole() };
    if !text.contains("<ListBucketResult") {
        return whole();
    }
    let body = if lost {
        text.replace("<IsTruncated>false</IsTruncated>", "<IsTruncated>true</IsTruncated>")
    } else {
        let (Some(from), Some(to)) = (text.rfind("<Contents>"), text.rfind("</Contents>")) else {
            return whole();
        };
        let (before, after) = (text.get(..from), text.get(to + "</Contents>".len()..));
        [before.unwrap_or_default(), after.unwrap_or_default()].concat()
    };
    let lines = answer.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    (format!("{}\r\nContent-Length: {}\r\n\r\n", lines.join("\r\n"), body.len()), body.into_bytes())
}

/// Ends a connection without a word.
fn reset(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn refuse(client: &mut TcpStream, status: u16, code: &str) {
    let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>planned</Message></Error>");
    let head = format!(
        "HTTP/1.1 {status} Planned\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = client.write_all(head.as_bytes()).and_then(|()| client.write_all(body.as_bytes()));
    let _ = client.shutdown(Shutdown::Write);
}

struct Message {
    head: String,
    body: Vec<u8>,
}

impl Message {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The head with word that the connection ends after this message.
fn closing(head: &str) -> Vec<u8> {
    let lines = head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n")).into_bytes()
}

fn read_head(stream: &mut TcpStream) -> Option<Message> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Some(Message { head: String::from_utf8(bytes).ok()?, body });
        }
        let got = stream.read(&mut buffer).ok().filter(|got| *got > 0)?;
        bytes.extend_from_slice(buffer.get(..got)?);
    }
}

fn read_message(stream: &mut TcpStream) -> Option<Message> {
    let mut message = read_head(stream)?;
    if message.header("expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let length: usize = message.header("content-length").unwrap_or("0").parse().ok()?;
    let have = message.body.len();
    message.body.resize(length.max(have), 0);
    stream.read_exact(message.body.get_mut(have..)?).ok()?;
    Some(message)
}

/// An answer to its connection's end; chunks stay as they came.
fn read_answer(stream: &mut TcpStream) -> Option<Message> {
    let mut message = read_head(stream)?;
    stream.read_to_end(&mut message.body).ok()?;
    Some(message)
}
