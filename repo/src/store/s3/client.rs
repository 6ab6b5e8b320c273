//! The connection: who we are, which roots are trusted, which addresses are not.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, RuntimeComponents, SharedHttpClient, interceptors,
};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use super::settings::{Keys, S3Settings};

/// A server that does not take a connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Amazon's own rule: without a region requests are signed for this one.
const REGION: &str = "us-east-1";

/// The server's time, from its latest answer: seconds since 1970, or `i64::MIN` before there was one.
#[derive(Clone, Debug)]
pub(super) struct ServerDate(Arc<AtomicI64>);

impl ServerDate {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(i64::MIN)))
    }

    pub(super) fn seconds(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Acquire)).filter(|seconds| *seconds != i64::MIN)
    }
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_before_deserialization(
        &self,
        context: &interceptors::BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        if let Some(date) = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok()) {
            self.0.store(date.secs(), Ordering::Release);
        }
        Ok(())
    }
}

/// A client for these settings. Credentials are looked for anew.
pub(super) async fn connect(settings: &S3Settings, date: &ServerDate) -> Result<Client, String> {
    let http = https(settings, Guard::of(settings))?;
    let shared = environment(settings).await?;
    let region = settings.region.clone().map(Region::new);
    let region = region.or_else(|| shared.region().cloned()).unwrap_or_else(|| Region::from_static(REGION));
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .region(region)
        .http_client(http)
        .force_path_style(settings.path_style)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        // Checksums are ours, of what was hashed before it was sent; trailers confuse many servers.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .interceptor(date.clone());
    if let Some(endpoint) = &settings.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// What environment and files say: credentials above all.
async fn environment(settings: &S3Settings) -> Result<SdkConfig, String> {
    // Where credentials come from (a container's or an instance's own address) is not guarded as the endpoint is.
    let http = https(settings, Guard { allow_private: true, allow_metadata: true })?;
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    let loader = match &settings.keys {
        Keys::Chain { profile: Some(profile) } => loader.profile_name(profile),
        Keys::Chain { profile: None } => loader,
        Keys::Given { access, secret } => {
            loader.credentials_provider(Credentials::new(access, secret.as_str(), None, None, "lifeboat"))
        }
    };
    let loader = match &settings.region {
        Some(region) => loader.region(Region::new(region.clone())),
        None => loader,
    };
    Ok(loader.load().await)
}

fn https(settings: &S3Settings, guard: Guard) -> Result<SharedHttpClient, String> {
    let builder = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    Ok(builder.tls_context(trusting(&settings.roots)?).build_with_resolver(guard))
}

/// TLS that trusts these certificates (PEM) besides the system's own.
pub(in crate::store) fn trusting(roots: &[Vec<u8>]) -> Result<TlsContext, String> {
    let roots = roots.iter();
    let trusted = roots.fold(TrustStore::default(), |store, pem| store.with_pem_certificate(pem.clone()));
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|error| format!("cannot use the certificates given: {error}"))
}

/// Why an endpoint may not be used, if so. Names are looked at when they are resolved, by [`Guard`].
pub(super) fn refuse_endpoint(settings: &S3Settings) -> Option<String> {
    refuse_url("endpoint", settings.endpoint.as_deref()?, settings.allow_http, Guard::of(settings))
}

/// The same of any URL, which is called `what`.
pub(in crate::store) fn refuse_url(what: &str, url: &str, allow_http: bool, guard: Guard) -> Option<String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Some(format!("the {what} is no URL; it begins with https://"));
    };
    if scheme != "https" && !(scheme == "http" && allow_http) {
        return Some(format!("the {what} is not https; add allow_http = true if that is meant"));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Some(format!("credentials do not belong into the {what}"));
    }
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or_default(),
    };
    let address: IpAddr = host.parse().ok()?;
    guard.refuse(address)
}

/// Resolves names, and refuses what they should not resolve to.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct Guard {
    pub(in crate::store) allow_private: bool,
    pub(in crate::store) allow_metadata: bool,
}

impl Guard {
    fn of(settings: &S3Settings) -> Self {
        Self { allow_private: settings.allow_private, allow_metadata: false }
    }

    fn refuse(self, address: IpAddr) -> Option<String> {
        let v4 = match address {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(v6) => v6.to_ipv4_mapped(),
        };
        let local = |v6: Ipv6Addr| v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
        let private = match (v4, address) {
            (Some(v4), _) => {
                v4.is_private()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || v4.is_unspecified()
                    || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64
            }
            (None, IpAddr::V6(v6)) => local(v6) || v6.is_unspecified(),
            (None, IpAddr::V4(_)) => false,
        };
        // Instances hand out credentials there: nobody stores backups at such an address.
        let metadata = v4.is_some_and(|v4| v4.is_link_local())
            || address == IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
        if metadata && !self.allow_metadata {
            return Some(format!("{address} is an address of instance metadata"));
        }
        (private && !self.allow_private)
            .then(|| format!("{address} is a private address; add allow_private = true if that is meant"))
    }
}

impl ResolveDns for Guard {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let guard = *self;
        let name = name.to_owned();
        DnsFuture::new(async move {
            let found = tokio::task::spawn_blocking(move || {
                std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), 0))
                    .map(|found| found.map(|socket| socket.ip()).collect::<Vec<_>>())
            });
            let found = found.await.map_err(ResolveDnsError::new)?.map_err(ResolveDnsError::new)?;
            match found.iter().find_map(|address| guard.refuse(*address)) {
                Some(why) => Err(ResolveDnsError::new(why)),
                None => Ok(found),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(endpoint: &str, allow_http: bool, allow_private: bool) -> bool {
        let endpoint = Some(endpoint.to_owned());
        let settings = S3Settings { endpoint, allow_http, allow_private, ..S3Settings::of("b", "") };
        refuse_endpoint(&settings).is_some()
    }

    #[test]
    fn endpoints_that_nobody_meant_are_refused() {
        for inside in [
            "https://127.0.0.1:9000",
            "https://10.1.2.3",
            "https://172.16.0.1/x",
            "https://192.168.1.1",
            "https://169.254.169.254",
            "https://100.64.0.1",
            "https://0.0.0.0",
            "https://[::1]:9000",
            "https://[fd00:ec2::254]",
            "https://[fe80::1]",
            "https://[::ffff:10.0.0.1]",
        ] {
            assert!(refused(inside, false, false), "{inside}");
        }
        assert!(!refused("https://127.0.0.1:9000", false, true));
        assert!(refused("https://169.254.169.254", false, true), "nobody means this one");
        assert!(!refused("https://s3.example.com", false, false));
        assert!(!refused("https://8.8.8.8", false, false));
        assert!(refused("http://s3.example.com", false, false));
        assert!(!refused("http://s3.example.com", true, false));
        assert!(refused("ftp://s3.example.com", true, true));
        assert!(refused("s3.example.com", true, true));
        assert!(refused("https://me:secret@s3.example.com", true, true));
    }

    #[test]
    fn a_name_that_leads_inside_is_refused_when_it_is_resolved() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let resolve = |allow_private| {
            let guard = Guard { allow_private, allow_metadata: false };
            runtime.block_on(guard.resolve_dns("localhost"))
        };
        assert!(resolve(false).is_err());
        assert!(resolve(true).unwrap().iter().all(IpAddr::is_loopback));
    }
}
