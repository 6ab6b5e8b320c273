//! What tells others how it went: metrics that `promtool` finds nothing wrong with, pings, logs of a service manager.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use super::world::World;

/// What `promtool check metrics` says; nothing where all is well.
fn promtool(text: &str) -> String {
    let mut tool = Command::new("promtool");
    tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut tool = tool.spawn().expect("promtool, which scripts/test installs");
    tool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() { said } else { format!("{}: {said}", output.status) }
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn metrics_are_what_prometheus_reads() {
    let world = World::with("\n[metrics]\ntextfile = \"metrics/lifeboat.prom\"\n");
    fs::create_dir(world.at().join("metrics")).unwrap();
    let metrics = || fs::read_to_string(world.at().join("metrics/lifeboat.prom")).unwrap();
    world.ends(&["backup", "--all"], 0);
    world.ends(&["status"], 0);
    world.ends(&["verify", "--level", "integrity"], 0);
    // Those that only look, or only say what they would do, say nothing here.
    let before = metrics();
    world.ends(&["snapshots"], 0);
    world.ends(&["backup", "--all", "--dry-run"], 0);
    assert_eq!(metrics(), before);
    assert_eq!(promtool(&before), "", "{before}");
    let chats = "{component=\"chats\",region=\"eu-fra\"}";
    let success = value(&before, &format!("lifeboat_backup_last_success_timestamp_seconds{chats}")).unwrap();
    assert!(success > 1.7e9);
    assert_eq!(value(&before, &format!("lifeboat_backup_files{chats}")), Some(10.0));
    assert_eq!(value(&before, &format!("lifeboat_objective_rpo_seconds{chats}")), Some(86_400.0));
    assert_eq!(value(&before, &format!("lifeboat_rpo_met{chats}")), Some(1.0));
    assert_eq!(value(&before, "lifeboat_exit_code{verb=\"verify\"}"), Some(0.0));
    let integrity = "lifeboat_verify_exit_code{region=\"eu-fra\",level=\"integrity\"}";
    assert_eq!(value(&before, integrity), Some(0.0));

    // A failure leaves the last success; another file may be named; and one that cannot be written fails nothing.
    fs::rename(world.at().join("data"), world.at().join("gone")).unwrap();
    let failed = world.command(&["backup", "--all", "--metrics", "other.prom"]).output().unwrap();
    assert_ne!(failed.status.code(), Some(0));
    assert_eq!(metrics(), before);
    world.command(&["backup", "--all"]).output().unwrap();
    let after = metrics();
    assert_eq!(promtool(&after), "", "{after}");
    assert_eq!(
        value(&after, &format!("lifeboat_backup_last_success_timestamp_seconds{chats}")),
        Some(success)
    );
    assert_ne!(value(&after, &format!("lifeboat_backup_exit_code{chats}")), Some(0.0));
    let other = fs::read_to_string(world.at().join("other.prom")).unwrap();
    assert_eq!(promtool(&other), "", "{other}");
    assert_eq!(value(&other, "lifeboat_last_success_timestamp_seconds{verb=\"backup\"}"), None);
    fs::rename(world.at().join("gone"), world.at().join("data")).unwrap();
    let told = world.ends(&["backup", "--all", "--metrics", "no/such/directory/x.prom"], 0);
    assert!(super::world::said(&told).contains("metrics cannot be written"), "{told:?}");
}

/// A web server that answers every request and keeps its first line.
struct Web {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&asked);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer_one(stream, answer, &told);
            }
        });
        Self { port, asked }
    }

    fn took(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

fn answer_one(mut stream: TcpStream, answer: &str, told: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    if let Some(first) = lines.next() {
        lines.take_while(|line| !line.is_empty()).for_each(drop);
        told.lock().unwrap().push(first);
    }
    let _ = write!(stream, "HTTP/1.1 {answer}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
}

fn pinging(port: u16, more: &str) -> String {
    format!("\n[ping]\nurl = \"http://127.0.0.1:{port}/key/{{verb}}?a=b\"\nallow_http = true\n{more}\n")
}

#[test]
fn pings_say_that_it_began_and_how_it_ended() {
    let web = Web::start("200 OK");
    let rest =
        "allow_private = true\nverbs = [\"backup\", \"verify\"]\nstart = \"/start\"\nfailure = \"/{exit}\"";
    let world = World::with(&pinging(web.port, rest));
    let get = |path: &str| format!("GET /key/{path}?a=b HTTP/1.1");
    world.ends(&["backup", "--all"], 0);
    assert_eq!(web.took(), [get("backup/start"), get("backup")]);
    // Nothing is done, so nothing is told; and status pings nobody, since it is not among them.
    world.ends(&["backup", "--all", "--dry-run"], 0);
    world.ends(&["status"], 0);
    assert_eq!(web.took(), [] as [String; 0]);
    fs::rename(world.at().join("data"), world.at().join("gone")).unwrap();
    let code = world.command(&["backup", "--all"]).output().unwrap().status.code().unwrap();
    assert_eq!(web.took(), [get("backup/start"), get(&format!("backup/{code}"))]);
    fs::rename(world.at().join("gone"), world.at().join("data")).unwrap();

    // A component's own.
    let file = world.at().join("lifeboat.toml");
    let text = fs::read_to_string(&file).unwrap();
    let own = format!("[components.chats]\nping = \"http://127.0.0.1:{}/chats\"", web.port);
    fs::write(&file, text.replacen("[components.chats]", &own, 1)).unwrap();
    world.ends(&["backup", "chats"], 0);
    let chats = |path: &str| format!("GET /chats{path} HTTP/1.1");
    assert_eq!(web.took(), [get("backup/start"), chats("/start"), chats(""), get("backup")]);
}

/// Whoever cannot be reached, answers badly or lies where nobody meant is told of, and fails nothing.
#[test]
fn a_ping_that_fails_fails_nothing() {
    let web = Web::start("503 Out");
    let world = World::with(&pinging(web.port, "allow_private = true"));
    let said = |output: &std::process::Output| super::world::said(output);
    let told = said(&world.ends(&["backup", "--all"], 0));
    assert!(told.contains("the ping did not arrive") && told.contains("it answered 503"), "{told}");
    assert!(!told.contains("/key/"), "the path is a secret: {told}");
    assert_eq!(web.took().len(), 2, "it is tried again");
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = World::with(&pinging(port, "allow_private = true"));
    let told = said(&world.ends(&["backup", "--all"], 0));
    assert!(told.contains("the ping did not arrive"), "{told}");
    // A name that leads inside.
    let text = pinging(web.port, "").replace("127.0.0.1", "localhost");
    let world = World::with(&text);
    let told = said(&world.ends(&["backup", "--all"], 0));
    assert!(told.contains("is a private address"), "{told}");
    assert_eq!(web.took(), [] as [String; 0]);
    // And an address that does is refused when the configuration is read.
    let file = world.at().join("lifeboat.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("localhost", "127.0.0.1")).unwrap();
    let told = said(&world.ends(&["backup", "--all"], 2));
    assert!(told.contains("127.0.0.1 is a private address") && told.contains("in [ping]"), "{told}");
}

/// What units of systemd run, the program knows: every line is called as it stands, with `--help` behind it.
#[test]
fn units_of_systemd_call_what_there_is() {
    let world = World::new();
    let units = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/systemd");
    let mut called = std::collections::BTreeSet::new();
    for entry in fs::read_dir(units).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("ExecStart=")) {
            let mut words = line.split_whitespace();
            if words.next() != Some("/usr/bin/lifeboat") {
                continue;
            }
            let arguments: Vec<&str> = words.collect();
            called.insert(arguments[0].to_owned());
            // Help is shown only where all before it makes sense, and it is of that verb.
            let help = world.ends(&[&arguments[..], &["--help"]].concat(), 0);
            let text = String::from_utf8(help.stdout).unwrap();
            assert!(text.contains(&format!("lifeboat {}", arguments[0])), "{}: {text}", path.display());
            for option in arguments.iter().filter_map(|argument| argument.strip_prefix("--")) {
                let option = option.split('=').next().unwrap();
                assert!(
                    text.contains(&format!("--{option}")),
                    "{}: there is no --{option}: {text}",
                    path.display()
                );
            }
        }
    }
    let wanted =
        ["backup", "gc", "heartbeat", "keys", "locks", "replicate", "retain", "verify"].map(str::to_owned);
    assert_eq!(called, std::collections::BTreeSet::from(wanted));
}
