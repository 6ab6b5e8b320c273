//! One request to a web server: how somebody else is told that something was done.
//!
//! It stands here for want of a better place: what speaks HTTP for stores does it, and with the same care about where a
//! name leads.

use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorSettings};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

use super::s3::client::{Guard, refuse_url, trusting};

/// Where requests may go besides public servers by HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Private and loopback addresses.
    pub private: bool,
    /// Unencrypted.
    pub http: bool,
}

impl Allowed {
    fn guard(self) -> Guard {
        Guard { allow_private: self.private, allow_metadata: false }
    }
}

/// Why a URL may not be asked for, if so. Names are looked at again when they are resolved.
#[must_use]
pub fn refuse(url: &str, allowed: Allowed) -> Option<String> {
    refuse_url("URL", url, allowed.http, allowed.guard())
}

/// Asks for a URL once, trusting certificates (PEM) of `roots` besides the system's own, and gives the status of the
/// answer. Redirects are answers like others.
///
/// # Errors
/// It may not be asked for, or there was no answer within `patience`; in words, without the URL, which may be a secret.
pub fn get(url: &str, allowed: Allowed, roots: &[Vec<u8>], patience: Duration) -> Result<u16, String> {
    if let Some(why) = refuse(url, allowed) {
        return Err(why);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot begin a request: {error}"))?;
    let settings = HttpConnectorSettings::builder().connect_timeout(patience).read_timeout(patience).build();
    runtime.block_on(async {
        let connector = Connector::builder()
            .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
            .tls_context(trusting(roots)?)
            .connector_settings(settings)
            .build_with_resolver(allowed.guard());
        let mut request = HttpRequest::get(url).map_err(|_| "it is no URL".to_owned())?;
        request.headers_mut().insert("user-agent", concat!("lifeboat/", env!("CARGO_PKG_VERSION")));
        match tokio::time::timeout(patience, connector.call(request)).await {
            Ok(Ok(response)) => Ok(response.status().as_u16()),
            Ok(Err(error)) => Err(with_causes(&error)),
            Err(_) => Err(format!("no answer within {} s", patience.as_secs())),
        }
    })
}

/// An error with what caused it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
