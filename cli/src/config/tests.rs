use super::*;
use lifeboat_repo::units::{LockClass, LockTerms};

const HOUR: Duration = Duration::from_secs(60 * 60);

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDNbLxGB3hCA5Yhjx3EOMUZ7L0KMFzDVMWDPWcTKYLkN";

fn parse(text: &str) -> Result<Config> {
    Config::parse(Path::new("/etc/lifeboat/lifeboat.toml"), text)
}

const GOOD: &str = r#"[host]
writer = "fra-1"
signing_key = "keys/fra-1"
card_identity = "/run/credentials/card"
state = "./state"

[regions.eu-fra]
jurisdiction = "EU"
repository = "repositories/eu-fra"
officers = []

[components.identity]
region = "eu-fra"
path = "/srv/identity"
system = "ours"

[components.chats]
region = "eu-fra"
path = "/srv/chats"
tenants = ["uploads/{tenant}"]
rpo = "15m"
rto_target = "4h"
needs = ["identity"]
"#;

#[test]
fn a_good_file_is_read() {
    let config = parse(GOOD).unwrap();
    let host = config.host().unwrap();
    assert_eq!(host.signing_key, Path::new("/etc/lifeboat/keys/fra-1"));
    assert_eq!(host.card_identity, Path::new("/run/credentials/card"));
    assert_eq!(host.state, Path::new("/etc/lifeboat/state"));
    let names: Vec<&str> = config.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["identity", "chats"], "in the file's order");
    let chats = config.component(&"chats".parse().unwrap()).unwrap();
    assert_eq!(chats.rpo.as_secs(), 900);
    assert_eq!((chats.rto.target.as_secs(), chats.rto.limit.as_secs()), (4 * 3600, 48 * 3600));
    assert!(config.region(&"us-dal".parse().unwrap()).is_err());
}

#[test]
fn the_template_is_a_good_file() {
    let config = parse(template::TEMPLATE).unwrap();
    assert_eq!((config.regions.len(), config.components.len()), (1, 1));
    let wide = template::TEMPLATE.lines().filter(|line| line.chars().count() > 110).count();
    assert_eq!(wide, 0);
}

/// The good file with one text replaced: where the mistake is said to be, what it is, what is allowed.
#[track_caller]
fn mistake(from: &str, to: &str, line_column: &str, what: &str, next: &str) {
    assert!(GOOD.contains(from), "{from}");
    let failure = parse(&GOOD.replacen(from, to, 1)).unwrap_err();
    assert_eq!(failure.exit, crate::exit::Exit::Usage);
    let place = failure.place.clone().unwrap_or_default();
    assert!(place.contains(line_column), "{place} should have {line_column}");
    assert!(failure.what.contains(what), "{:?} should have {what:?}", failure.what);
    assert!(
        failure.next.clone().unwrap_or_default().contains(next),
        "{:?} should have {next:?}",
        failure.next
    );
}

#[test]
fn mistakes_are_found_where_they_are() {
    mistake("rpo = ", "rop = ", "line 21, column 1: rop", "expected one of", "");
    mistake("\"15m\"", "15", "line 21, column 7", "invalid type", "");
    mistake("\"15m\"", "\"15 minutes\"", "line 21, column 7", "no duration", "");
    mistake("\"15m\"", "\"0s\"", "line 21, column 7", "never be met", "15m");
    mistake("\"4h\"", "\"49h\"", "line 22, column 14", "49 h", "rto_target ≤ rto_limit");
    mistake("jurisdiction = \"EU\"\n", "", "line 7", "missing field `jurisdiction`", "");
    mistake(
        "\"repositories/eu-fra\"",
        "\"ftp://bucket\"",
        "line 9, column 14",
        "no kind of repository called ftp://",
        "s3://BUCKET/PREFIX",
    );
    mistake(
        "region = \"eu-fra\"\npath = \"/srv/chats\"",
        "region = \"eu-paris\"\npath = \"/srv/chats\"",
        "line 18, column 10",
        "chats",
        "use eu-fra",
    );
    mistake(
        "needs = [\"identity\"]",
        "needs = [\"identiti\"]",
        "line 23, column 10",
        "chats needs",
        "identity or chats",
    );
    mistake("needs = [\"identity\"]", "needs = [\"chats\"]", "line 23, column 10", "waits for itself", "");
    mistake("\"uploads/{tenant}\"", "\"uploads\"", "line 20, column 12", "exactly once", "uploads/{tenant}");
    mistake(
        "\"uploads/{tenant}\"",
        "\"../{tenant}\"",
        "line 20, column 12",
        "below the component's path",
        "",
    );
    mistake("system = \"ours\"", "", "line 12", "whose data", "system");
    mistake("\"ours\"", "\" \"", "line 15, column 10", "empty", "");
    mistake("officers = []", "officers = [\"ssh-rsa AAAA\"]", "line 10, column 13", "not an Ed25519", ".pub");
    mistake("\"fra-1\"", "\"Fra 1\"", "line 2, column 10", "the writer's name", "a-z");
    mistake("[host]", "[host", "line 1", "", "");
    mistake("[regions.eu-fra]", "[region.eu-fra]", "line 7, column 2", "unknown field `region`", "");
    mistake("[components.chats]", "[components.identity]", "line 17", "duplicate key", "");
}

#[test]
fn officers_and_repositories_are_not_doubled() {
    let twice = GOOD.replace("officers = []", &format!("officers = [\"{KEY} a\",\n\"{KEY} b\"]"));
    let failure = parse(&twice).unwrap_err();
    assert!(failure.place.unwrap_or_default().contains("line 11, column 1"), "{}", failure.what);
    let second =
        format!("{GOOD}\n[regions.us-dal]\njurisdiction = \"US\"\nrepository = \"./repositories/eu-fra\"\n");
    let failure = parse(&second).unwrap_err();
    assert!(failure.what.contains("same repository"), "{}", failure.what);
    assert!(failure.place.unwrap_or_default().contains("line 27"));
}

#[test]
fn an_officer_is_pinned_and_nothing_else_changes() {
    let officer = |name: &str| PinnedOfficer { key: KEY.parse().unwrap(), name: name.into() };
    let region = "eu-fra".parse().unwrap();
    for text in [GOOD.to_owned(), GOOD.replace("officers = []\n", ""), template::TEMPLATE.to_owned()] {
        let config = parse(&text).unwrap();
        let edited = edit::pin(&config, &text, &region, &officer("alice")).unwrap();
        assert_eq!(parse(&edited).unwrap().regions[0].officers, [officer("alice")]);
        let kept =
            text.lines().filter(|line| !line.starts_with("officers")).all(|line| edited.contains(line));
        assert!(kept, "{edited}");
    }
    // A file whose layout is unusual is left alone.
    let odd = "regions = { eu-fra = { jurisdiction = \"EU\", repository = \"r\" } }\n";
    let failure = edit::pin(&parse(odd).unwrap(), odd, &region, &officer("alice")).unwrap_err();
    assert!(failure.next.unwrap_or_default().contains(KEY));
}

const COMMAND: &str = r#"
[components.crm]
region = "eu-fra"
command = ["bin/dump", "-Fc", "crm"]
user = "postgres"
env = { PGHOST = "/run" }
timeout = "6h"
stream_name = "crm.dump"
tenant = "acme"

[components.crm.hooks]
before = ["sync", { run = "freeze", timeout = "2m", user = "root" }]

[limits]
bandwidth = "50MB/s"
memory = "512MiB"
threads = 2
nice = 10
[[limits.schedule]]
hours = "22:00-06:30"
bandwidth = "unlimited"
tz = "Europe/Berlin"
"#;

#[test]
fn commands_hooks_and_limits_are_read() {
    let config = parse(&format!("{GOOD}{COMMAND}")).unwrap();
    let crm = config.component(&"crm".parse().unwrap()).unwrap();
    let SourceKind::Command(command) = &crm.source else { panic!("{crm:?}") };
    assert_eq!(command.program.program, "/etc/lifeboat/bin/dump", "relative to the file, as every path");
    assert_eq!((command.program.arguments.len(), command.program.user.as_deref()), (2, Some("postgres")));
    assert_eq!((command.stream_name.as_str(), command.allow_empty), ("crm.dump", false));
    assert_eq!(command.program.timeout, Some(Duration::from_secs(6 * 3600)));
    assert_eq!(command.program.environment.get("PGHOST"), Some("/run".as_ref()));
    assert_eq!(command.tenant.to_string(), "acme");
    let [sync, freeze] = crm.hooks.before.as_slice() else { panic!("{:?}", crm.hooks) };
    assert_eq!(
        (sync.timeout, freeze.timeout),
        (Some(Duration::from_secs(600)), Some(Duration::from_secs(120)))
    );
    assert_eq!((sync.user.as_deref(), freeze.user.as_deref()), (None, Some("root")));
    let rate = |text: &str| {
        let moment: jiff::Timestamp = text.parse().unwrap();
        config.limits.rates.at(moment.into()).map(|rate| rate.0.0)
    };
    assert_eq!(rate("2026-11-23T20:59:00Z"), Some(50_000_000));
    assert_eq!((rate("2026-11-23T21:00:00Z"), rate("2026-11-24T05:29:00Z")), (None, None));
    assert_eq!(rate("2026-11-24T05:30:00Z"), Some(50_000_000));
    let resources = config.limits.resources;
    assert_eq!((resources.memory.unwrap().0, resources.threads.unwrap().get()), (512 << 20, 2));
    assert_eq!(config.limits.nice, Some(10));
}

#[test]
fn mistakes_in_sources_hooks_and_limits_are_found_where_they_are() {
    let text = format!("{GOOD}{COMMAND}");
    let wrong = std::cell::RefCell::new(Vec::new());
    let mistake = |from: &str, to: &str, at: &str, what: &str| {
        assert!(text.contains(from), "{from}");
        let Err(failure) = parse(&text.replacen(from, to, 1)) else {
            panic!("{from} → {to} is no mistake")
        };
        let place = failure.place.clone().unwrap_or_default();
        let advised = failure.next.is_some() || failure.what.contains("write");
        if !place.contains(at) || !failure.what.contains(what) || !advised {
            wrong.borrow_mut().push(format!("{from} → {to}: not at {at} {what:?}, but {failure:?}"));
        }
    };
    let replaced = |line: &str, what: &str| {
        mistake("stream_name = \"crm.dump\"", line, "line 31, column", what);
    };
    mistake("[\"bin/dump\", \"-Fc\", \"crm\"]", "[]", "line 27, column 11", "empty");
    mistake("command = [\"bin/dump\", \"-Fc\", \"crm\"]", "", "line 25", "nothing to back up");
    mistake("\"bin/dump\"", "\"\"", "line 27, column 12", "no name");
    mistake("[\"bin/dump\", \"-Fc\", \"crm\"]", "\"dump -Fc\"", "line 27, column 11", "invalid type");
    mistake("{ PGHOST", "{ \"A=B\"", "line 29, column 9", "environment variable");
    mistake("timeout = \"6h\"", "timeout = \"0s\"", "line 30, column 11", "never be met");
    mistake("tenant = \"acme\"", "tenant = \"ACME\"", "line 32, column 10", "a tenant cannot be");
    mistake("tenant = \"acme\"", "", "line 25", "whose data");
    replaced("stream_name = \"a/b\"", "one file");
    replaced("stream_name = \"a\\nb\"", "one file");
    mistake("stream_name = \"crm.dump\"", "path = \"/srv\"", "line 27, column 11", "both path and command");
    mistake("stream_name = \"crm.dump\"", "system = \"why\"", "line 32, column 10", "not both");
    replaced("exclude = [\"x\"]", "exclude means nothing beside command");
    replaced("one_filesystem = true", "one_filesystem means nothing beside command");
    mistake("\"sync\"", "\" \"", "line 35, column 11", "does nothing");
    mistake("\"sync\"", "17", "line 35", "a hook is a line");
    mistake("timeout = \"2m\"", "timeout = \"soon\"", "line 35, column 19", "no duration");
    mistake("bandwidth = \"50MB/s\"", "bandwidth = \"50MB\"", "line 38, column 13", "no bandwidth");
    mistake("\"512MiB\"", "\"20MiB\"", "line 39, column 10", "too little");
    mistake("\"512MiB\"", "\"512\"", "line 39, column 10", "no amount");
    mistake("threads = 2", "threads = 0", "line 40, column 11", "1 to 1024");
    mistake("nice = 10", "nice = -5", "line 41, column 8", "0 to 19");
    mistake("22:00-06:30", "22-6", "line 43, column 9", "no hours");
    mistake("22:00-06:30", "08:00-08:00", "line 43, column 9", "no hours");
    mistake("22:00-06:30", "25:00-26:00", "line 43, column 9", "no hours");
    mistake("Europe/Berlin", "Mars/Olympus", "line 45, column 6", "no time zone");
    mistake(
        "path = \"/srv/chats\"",
        "path = \"/srv/chats\"\nexclude = [\"*.tmp\", \"a[\"]",
        "line 20, column 21",
        "exclude",
    );
    mistake(
        "path = \"/srv/chats\"",
        "path = \"/srv/chats\"\nuser = \"x\"",
        "line 20, column 8",
        "user means nothing",
    );
    mistake(
        "path = \"/srv/chats\"",
        "path = \"/srv/chats\"\nexclude_if_present = [\"a/b\"]",
        "line 20, column 23",
        "name of a file",
    );
    assert!(wrong.borrow().is_empty(), "{:#?}", wrong.borrow());
}

/// What the template shows as comments is as good as the rest.
#[test]
fn the_templates_examples_are_good_too() {
    let shown = template::TEMPLATE.split("# officers =").collect::<Vec<_>>().join("officers_not =");
    let mut text = String::new();
    let mut examples = false;
    for line in shown.lines().filter(|line| !line.contains("officers_not") && !line.contains("us-dal")) {
        examples |= line.starts_with("[components.chats]");
        let bare = line.strip_prefix("# ").unwrap_or(line);
        let field =
            bare.starts_with('[') || bare.split_once(" = ").is_some_and(|(name, _)| !name.contains(' '));
        let line = if examples && field && !bare.starts_with("needs") { bare } else { line };
        text.push_str(line);
        text.push('\n');
    }
    let config = parse(&text).unwrap_or_else(|failure| panic!("{failure:?}\n{text}"));
    assert_eq!(config.components.len(), 2);
    let chats = config.component(&"chats".parse().unwrap()).unwrap();
    assert_eq!((chats.hooks.before.len(), chats.hooks.after.len(), chats.hooks.on_failure.len()), (1, 1, 1));
    assert!(config.limits.resources.memory.is_some() && config.limits.rates.windows.len() == 1);
}

/// A line of the fuzzer's corpus, which is in Rust's escapes; only what is UTF-8 can be a configuration.
fn unescaped(line: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), line.bytes());
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'x') => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            Some(other) => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[test]
fn every_text_of_the_fuzzers_corpus_is_read_or_refused_with_its_place() {
    let corpus = include_str!("../../../tests/fuzz/corpora/config.txt");
    let (mut good, mut bad) = (0, 0);
    for text in corpus.lines().filter_map(unescaped) {
        match parse(&text) {
            Ok(_) => good += 1,
            Err(failure) => {
                assert!(failure.place.is_some_and(|place| place.contains("lifeboat.toml")), "{text:?}");
                assert!(!failure.what.chars().any(char::is_control), "{text:?}");
                bad += 1;
            }
        }
    }
    assert!(good > 0 && bad > 100, "{good} good, {bad} bad");
}

#[test]
fn a_repository_may_lie_in_a_bucket() {
    let with = |url: &str, options: &str| {
        let text = GOOD.replacen("\"repositories/eu-fra\"", &format!("\"{url}\""), 1);
        parse(&text.replacen("[components.", &format!("[regions.eu-fra.s3]\n{options}\n[components."), 1))
    };
    let options = "endpoint = \"https://s3.example.com/\"\nregion = \"eu-central-1\"\nprofile = \"night\"\nlock = \"60d\"";
    let config = with("s3://acme-backup/lifeboat/eu-fra/", options).unwrap();
    let Place::Bucket(settings) = &config.regions[0].repository else { panic!("a bucket") };
    assert_eq!(settings.url(), "s3://acme-backup/lifeboat/eu-fra");
    assert_eq!(settings.endpoint.as_deref(), Some("https://s3.example.com"));
    assert!(settings.path_style && !settings.allow_private && !settings.allow_http);
    assert_eq!(settings.locks.normal, Some(Duration::from_secs(60 * 86_400)));
    for (url, options, what) in [
        ("s3://", "", "a bucket's name is"),
        ("s3://Bucket", "", "a bucket's name is"),
        ("s3://bucket/a//b", "", "a prefix is made of"),
        ("s3://bucket/../b", "", "a prefix is made of"),
        ("s3://bucket", "endpoint = \"http://s3.example.com\"", "is not https"),
        ("s3://bucket", "endpoint = \"https://10.0.0.1\"", "a private address"),
        ("s3://bucket", "endpoint = \"https://169.254.169.254\"\nallow_private = true", "instance metadata"),
        ("s3://bucket", "lock = \"soon\"", "no duration"),
        ("s3://bucket", "regoin = \"x\"", "unknown field `regoin`"),
        ("s3://bucket", "ca_file = \"/not/there.pem\"", "cannot read the certificates"),
        ("repositories/eu-fra", "region = \"x\"", "the repository is a directory"),
    ] {
        let failure = with(url, options).unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage);
        assert!(failure.what.contains(what), "{url} {options}: {:?}", failure.what);
        assert!(failure.place.unwrap().contains("line "), "{url} {options}");
    }
}

#[test]
fn a_replica_stays_where_the_data_may_be() {
    let with = |lines: &str| {
        let home = "repository = \"repositories/eu-fra\"\n";
        parse(&GOOD.replacen(home, &format!("{home}{lines}\n"), 1))
    };
    let config = with("replica = \"s3://copy/fra\"\nreplica_jurisdiction = \"EU\"").unwrap();
    let region = config.regions[0].clone();
    assert_eq!(region.replica.map(|place| place.to_string()).as_deref(), Some("s3://copy/fra"));
    assert!(region.repository.directory().is_some() && region.role == Role::Primary);
    let there = config.at_replicas().regions.remove(0);
    assert_eq!((there.repository.to_string().as_str(), there.role), ("s3://copy/fra", Role::Replica));

    let home = "officers = []";
    let away = "replica = \"r\"\nreplica_jurisdiction = \"US\"";
    mistake(
        home,
        away,
        "line 11, column 24",
        "lies in US, and its data must stay in EU",
        "another place in EU",
    );
    mistake(
        home,
        "replica = \"repositories/eu-fra\"",
        "line 10, column 11",
        "is its repository",
        "of its own",
    );
    mistake(home, "replica_jurisdiction = \"EU\"", "line 10, column 24", "has none", "write replica = ");
    mistake(home, "replica = \"ftp://x\"", "line 10, column 11", "no kind of replica", "s3://BUCKET");
    let stray = "replica = \"r\"\nreplica_s3 = { region = \"x\" }";
    mistake(home, stray, "line 11, column 14", "the replica is a directory", "[regions.NAME.replica_s3]");
    let shared = "replica = \"r\"\n[regions.us-dal]\njurisdiction = \"US\"\nrepository = \"r\"";
    mistake(
        home,
        shared,
        "line 13, column 14",
        "the same repository as region eu-fra",
        "a replica of its own",
    );
}

#[test]
fn what_expires_is_read_and_its_mistakes_are_found() {
    let with = |fields: &str, tables: &str| {
        let text = GOOD.replacen("rpo = \"15m\"\n", &format!("rpo = \"15m\"\n{fields}\n"), 1);
        parse(&format!("{text}{tables}"))
    };
    let keep = "[components.chats.keep]\nlast = 7\ndaily = 14\nwithin = \"48h\"\ntz = \"Europe/Berlin\"\n";
    let more = "[tenants.acme]\nkeep = \"90d\"\n[policy]\nforget_within = \"30d\"\n";
    let config =
        with("system = \"ours\"\npersonal = true\nlock = \"short\"", &format!("{keep}{more}")).unwrap();
    let [identity, chats] = [0, 1].map(|at| config.components[at].treatment.clone());
    let rules = chats.keep.unwrap().rules;
    assert_eq!((rules.last, rules.periods.values().sum::<u32>()), (7, 14));
    assert_eq!((rules.within, rules.minimum_age), (Some(HOUR * 48), HOUR * 24));
    assert!(chats.personal && chats.lock == LockClass::Short && identity.keep.is_none());
    assert_eq!((identity.forget_within, identity.lock), (Some(HOUR * 24 * 30), LockClass::Normal));
    assert_eq!(
        (config.tenants[0].tenant.to_string().as_str(), config.tenants[0].keep),
        ("acme", HOUR * 24 * 90)
    );
    let cases = [
        ("", "[components.chats.keep]\nminimum_age = \"2d\"\n", "all but the newest"),
        ("", "[components.chats.keep]\ndaily = -1\n", "from 0 to"),
        ("", "[components.chats.keep]\ndayly = 1\n", "unknown field"),
        ("", "[components.chats.keep]\nlast = 1\ntz = \"Mars\"\n", "no time zone"),
        ("", "[tenants._system]\nkeep = \"1d\"\n", "no tenant"),
        ("", "[tenants.acme]\nkeep = \"soon\"\n", "no duration"),
        ("personal = true", "", "there is no system"),
        ("lock = \"long\"", "", "no class of locks"),
    ];
    for (fields, tables, what) in cases {
        let failure = with(fields, tables).unwrap_err();
        assert!(failure.what.contains(what), "{tables}: {:?}", failure.what);
        assert!(failure.place.clone().unwrap().contains("line 2"), "{fields}{tables}: {failure:?}");
    }
}

#[test]
fn locks_hold_together() {
    let home = "repository = \"repositories/eu-fra\"\nofficers = []\n";
    let with = |options: &str| {
        let bucket = format!("repository = \"s3://copy/fra\"\n[regions.eu-fra.s3]\n{options}\n");
        parse(&GOOD.replacen(home, &bucket, 1))
    };
    let locks = |options: &str| match with(options).unwrap().regions.remove(0).repository {
        Place::Bucket(settings) => LockClass::ALL.map(|class| settings.locks.terms(class)),
        Place::Directory(_) => panic!("a bucket"),
    };
    let terms =
        |period: u32, floor: u32| Some(LockTerms { period: HOUR * 24 * period, floor: HOUR * 24 * floor });
    assert_eq!(locks(""), [None, None]);
    assert_eq!(locks("lock = \"60d\""), [terms(60, 30), terms(14, 7)]);
    assert_eq!(locks("lock = \"10d\"\nlock_floor = \"3d\""), [terms(10, 3), terms(10, 3)]);
    assert_eq!(locks("lock = \"60d\"\nlock_short = \"4d\""), [terms(60, 30), terms(4, 2)]);
    for (options, what) in [
        ("lock_short = \"14d\"", "there are none"),
        ("lock_profile = \"locks\"", "there are none"),
        ("lock = \"10d\"\nlock_short = \"14d\"", "longer than lock"),
        ("lock = \"10d\"\nlock_floor = \"10d\"", "nothing could be deduplicated"),
    ] {
        let failure = with(options).unwrap_err();
        assert!(failure.what.contains(what), "{options}: {:?}", failure.what);
    }
    let bucket = "repository = \"s3://copy/fra\"\ns3 = { lock = \"60d\" }\n";
    let text = GOOD.replacen(home, bucket, 1);
    let personal = text.replacen("system = \"ours\"", "system = \"ours\"\npersonal = true", 1);
    assert!(parse(&personal).unwrap_err().next.unwrap().contains("lock = \"short\""));
}
