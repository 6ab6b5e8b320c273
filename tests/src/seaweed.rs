//! A real S3 server on loopback: SeaweedFS, started for one test and stopped by its process id.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lifeboat_repo::store::s3::{Keys, S3Settings};

/// A server that is not up after this long will not be.
const PATIENCE: Duration = Duration::from_secs(60);
/// Each of its ports takes another one so much higher.
const TWIN: u16 = 10_000;

/// Who may do what at the server.
#[derive(Clone, Debug)]
pub struct Role {
    /// Its name, and its access key.
    pub name: String,
    /// Such as `Admin`, `Read:bucket`, `Write:bucket/prefix/*`.
    pub actions: Vec<String>,
}

/// A running server.
pub struct Seaweed {
    child: Child,
    dir: tempfile::TempDir,
    ports: Ports,
}

impl Seaweed {
    /// Starts a server that knows one administrator.
    #[must_use]
    pub fn start() -> Self {
        Self::with_roles(&[])
    }

    /// Starts a server that knows the administrator and these besides.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    #[must_use]
    pub fn with_roles(roles: &[Role]) -> Self {
        // Somebody else may take a port in between.
        let again = |_| Self::try_start(roles);
        Self::try_start(roles).or_else(again).or_else(again).expect("a running server")
    }

    fn try_start(roles: &[Role]) -> Result<Self, String> {
        let dir = crate::proof::scratch();
        let config = dir.path().join("s3.json");
        std::fs::write(&config, identities(roles)).expect("the server's configuration");
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("the server's directory");
        let log = File::create(dir.path().join("log")).expect("the server's log");
        let ports = Ports::take();
        let port = ports.first;
        let mut command = Command::new("weed");
        command
            .arg("mini")
            .arg(format!("-dir={}", data.display()))
            .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-admin.ui=false", "-webdav=false"])
            // Whatever else it would listen for, all servers of all tests would want the same ports for.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"])
            .arg(format!("-s3.config={}", config.display()))
            .arg(format!("-s3.port={port}"))
            .arg(format!("-master.port={}", port + 1))
            .arg(format!("-volume.port={}", port + 2))
            .arg(format!("-filer.port={}", port + 3))
            .arg(format!("-admin.port={}", port + 4))
            .current_dir(dir.path())
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log again"))
            .stderr(log)
            .process_group(0);
        let child = command.spawn().expect("SeaweedFS (`weed`), which scripts/test installs, starts");
        let mut server = Self { child, dir, ports };
        server.await_ready()?;
        Ok(server)
    }

    /// An answer that refuses an unsigned request: the server is up, and knows its identities.
    fn await_ready(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().expect("the server's state") {
                return Err(format!("SeaweedFS ended ({status}): {}", self.log()));
            }
            if status_of_root(self.ports.first) == Some(403) {
                return Ok(());
            }
            std::thread::yield_now();
        }
        Err(format!("SeaweedFS did not come up within {PATIENCE:?}: {}", self.log()))
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports.first)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.first
    }

    /// A bucket as the administrator reaches it; it is made by [`Self::make_bucket`].
    #[must_use]
    pub fn settings(&self, bucket: &str, prefix: &str) -> S3Settings {
        self.settings_of("admin", bucket, prefix)
    }

    /// The same as another role.
    #[must_use]
    pub fn settings_of(&self, role: &str, bucket: &str, prefix: &str) -> S3Settings {
        settings_at(self.endpoint(), role, bucket, prefix)
    }

    /// Makes a bucket, with Object Lock if that is wanted (versions are kept then).
    ///
    /// # Panics
    /// The server refused.
    pub fn make_bucket(&self, bucket: &str, locks: bool) {
        lifeboat_repo::store::s3::make_bucket(&self.settings(bucket, ""), locks).expect("a new bucket");
    }

    /// The process, to be stopped and continued.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// A bucket at any such server.
#[must_use]
pub fn settings_at(endpoint: String, role: &str, bucket: &str, prefix: &str) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint),
        path_style: true,
        allow_private: true,
        allow_http: true,
        region: Some("us-east-1".to_owned()),
        keys: Keys::Given { access: role.to_owned(), secret: secret_of(role).into() },
        ..S3Settings::of(bucket, prefix)
    }
}

/// The secret of a role: nobody reaches the server from elsewhere.
#[must_use]
pub fn secret_of(role: &str) -> String {
    format!("secret-of-{role}")
}

impl Drop for Seaweed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn identities(roles: &[Role]) -> String {
    let admin = Role {
        name: "admin".to_owned(),
        actions: ["Admin", "Read", "Write", "List", "Tagging"].map(str::to_owned).to_vec(),
    };
    let mut text = String::from("{\"identities\":[");
    for (at, role) in std::iter::once(&admin).chain(roles).enumerate() {
        let actions = role.actions.iter().map(|action| format!("{action:?}")).collect::<Vec<_>>().join(",");
        let comma = if at == 0 { "" } else { "," };
        write!(
            text,
            "{comma}{{\"name\":{:?},\"credentials\":[{{\"accessKey\":{:?},\"secretKey\":{:?}}}],\"actions\":[{actions}]}}",
            role.name,
            role.name,
            secret_of(&role.name)
        )
        .expect("text grows");
    }
    text + "]}"
}

/// Five ports in a row, with their twins, that are free; nobody else of these tests takes them meanwhile.
struct Ports {
    first: u16,
    _held: File,
}

impl Ports {
    fn take() -> Self {
        let found = (12_000_u16..20_000).step_by(10).find_map(|first| {
            let path = std::env::temp_dir().join(format!("lifeboat-ports-{first}"));
            let held = File::options().create(true).truncate(false).write(true).open(path).ok()?;
            held.try_lock().ok()?;
            let wanted = (first..first + 5).flat_map(|port| [port, port + TWIN]);
            let free: Result<Vec<TcpListener>, _> =
                wanted.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
            free.is_ok().then_some(Self { first, _held: held })
        });
        found.expect("five free ports in a row")
    }
}

fn status_of_root(port: u16) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(&head).ok()?.split(' ').nth(1)?.parse().ok()
}

/// `rclone serve s3`: a server that accepts conditions and locks, and ignores them.
pub struct Rclone {
    child: Child,
    _dir: tempfile::TempDir,
    ports: Ports,
}

impl Rclone {
    /// Starts one with an empty bucket.
    ///
    /// # Panics
    /// It is not installed, or does not come up.
    #[must_use]
    pub fn start(bucket: &str) -> Self {
        let dir = crate::proof::scratch();
        std::fs::create_dir(dir.path().join(bucket)).expect("the bucket");
        let ports = Ports::take();
        let port = ports.first;
        let mut command = Command::new("rclone");
        command
            .args(["serve", "s3", "--auth-key"])
            .arg(format!("admin,{}", secret_of("admin")))
            .arg("--addr")
            .arg(format!("127.0.0.1:{port}"))
            .arg(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().expect("rclone, which scripts/test installs, starts");
        let mut server = Self { child, _dir: dir, ports };
        let begun = Instant::now();
        while status_of_root(port).is_none() {
            let ended = server.child.try_wait().expect("the server's state");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "rclone did not come up: {ended:?}");
            std::thread::yield_now();
        }
        server
    }

    /// The bucket.
    #[must_use]
    pub fn settings(&self, bucket: &str) -> S3Settings {
        settings_at(format!("http://127.0.0.1:{}", self.ports.first), "admin", bucket, "")
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
