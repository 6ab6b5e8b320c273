use super::*;

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
        "\"s3://bucket\"",
        "line 9, column 14",
        "not supported by this version",
        "S3",
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
