//! The configuration for a recovery kit: what a restore needs, from the root of the file system, and nothing that may hold a
//! secret (hooks, environments, programs and addresses of monitors stay behind).

use std::path::Path;

use toml::{Table, Value};

use crate::config::{Config, FILE};
use crate::failure::{Failure, Result};

/// Fields of a region, and of how its buckets are reached.
const REGION: [&str; 10] = [
    "jurisdiction",
    "repository",
    "replica",
    "replica_jurisdiction",
    "witness",
    "officers",
    "rto_target",
    "rto_limit",
    "rto_setup",
    "rto_cutover",
];
const BUCKETS: [&str; 3] = ["s3", "replica_s3", "witness_s3"];
const BUCKET: [&str; 6] = ["endpoint", "region", "path_style", "ca_file", "allow_private", "allow_http"];
/// Fields of a component. A command is not run to restore what it wrote, and may hold a password.
const COMPONENT: [&str; 13] = [
    "region",
    "path",
    "stream_name",
    "tenant",
    "tenants",
    "system",
    "personal",
    "rpo",
    "rto_target",
    "rto_limit",
    "rto_setup",
    "rto_cutover",
    "needs",
];
/// Fields of a component's heartbeats: where they lie, so that a drill from the kit finds them in what it restores.
const HEARTBEAT: [&str; 2] = ["file", "tenants"];
/// Stands for the program of a component that is the output of one.
const NO_COMMAND: &str = "/bin/false";

/// Makes it of the configuration that was read.
pub(super) fn for_kit(config: &Config) -> Result<String> {
    let text = std::fs::read_to_string(&config.path)
        .map_err(|error| Failure::file("read the configuration", &config.path, &error))?;
    let directory = config.path.parent().unwrap_or(Path::new("."));
    let table: Table =
        text.parse().map_err(|error: toml::de::Error| Failure::usage(error.message().to_owned()))?;
    let kit = reduce(&table, directory);
    let body = toml::to_string(&kit).map_err(|error| Failure::failed(error.to_string()))?;
    let text = format!(
        "# The configuration of a recovery kit: what a restore needs, and no more. No host is described here: it backs up\n\
         # nothing. Places are as they were when it was written; correct them where something moved.\n\n{body}"
    );
    // It must be one that this program takes.
    Config::parse(Path::new(FILE), &text)?;
    Ok(text)
}

fn reduce(table: &Table, directory: &Path) -> Table {
    let mut kit = Table::new();
    let each = |name: &str, one: &dyn Fn(&Table) -> Table| -> Option<Value> {
        let all = table.get(name)?.as_table()?;
        let kept =
            all.iter().filter_map(|(name, value)| Some((name.clone(), Value::Table(one(value.as_table()?)))));
        Some(Value::Table(kept.collect()))
    };
    let parts = [
        ("regions", each("regions", &|own| region(own, directory))),
        ("components", each("components", &|own| component(own, directory))),
    ];
    for (name, part) in parts {
        if let Some(part) = part {
            kit.insert(name.into(), part);
        }
    }
    kit
}

fn region(own: &Table, directory: &Path) -> Table {
    let mut kept = pick(own, &REGION);
    for place in ["repository", "replica", "witness"] {
        whole(&mut kept, place, directory);
    }
    for name in BUCKETS {
        if let Some(bucket) = own.get(name).and_then(Value::as_table) {
            let mut bucket = pick(bucket, &BUCKET);
            whole(&mut bucket, "ca_file", directory);
            kept.insert(name.into(), Value::Table(bucket));
        }
    }
    kept
}

fn component(own: &Table, directory: &Path) -> Table {
    let mut kept = pick(own, &COMPONENT);
    whole(&mut kept, "path", directory);
    if own.contains_key("command") {
        kept.insert("command".into(), Value::Array(vec![NO_COMMAND.into()]));
    }
    if let Some(beats) = own.get("heartbeat").and_then(Value::as_table) {
        let mut heartbeat = pick(beats, &HEARTBEAT);
        if beats.contains_key("write") {
            heartbeat.insert("write".into(), NO_COMMAND.into());
        }
        kept.insert("heartbeat".into(), Value::Table(heartbeat));
    }
    kept
}

fn pick(own: &Table, names: &[&str]) -> Table {
    names.iter().filter_map(|name| Some(((*name).to_owned(), own.get(*name)?.clone()))).collect()
}

/// Makes a path one from the root; the address of a bucket stays as it is.
fn whole(table: &mut Table, name: &str, directory: &Path) {
    if let Some(Value::String(place)) = table.get_mut(name)
        && !place.contains("://")
    {
        let path = directory.join(place.as_str());
        *place = std::path::absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kit_knows_places_and_no_secret() {
        let text = r#"
            [host]
            writer = "app-1"
            signing_key = "keys/app-1"
            card_identity = "keys/app-1.card"
            state = "state"
            [ping]
            url = "https://ping.example/secret-token"
            [regions.eu-fra]
            jurisdiction = "EU"
            repository = "repositories/eu-fra"
            replica = "s3://replica/eu"
            replica_s3 = { endpoint = "https://s3.example", profile = "secret-profile", lock = "compliance" }
            [components.db]
            region = "eu-fra"
            command = ["pg_dump", "postgres://u:secret-password@h/db"]
            env = { PGPASSWORD = "secret-word" }
            system = "all in one dump"
            hooks = { before = ["curl -H 'secret-header' x"] }
            ping = "https://ping.example/secret-component"
            heartbeat = { write = "psql secret", count = "psql secret" }
            [components.chats]
            region = "eu-fra"
            path = "data/chats"
            tenants = ["{tenant}"]
            needs = ["db"]
            system = "settings"
            heartbeat = { file = "beats/all", tenants = 3, count = "secret", count_every = "1h" }
        "#;
        let kit = reduce(&text.parse().unwrap(), Path::new("/etc/lifeboat"));
        let written = toml::to_string(&kit).unwrap();
        assert!(!written.contains("secret") && !written.contains("host"), "{written}");
        for kept in [
            "/etc/lifeboat/repositories/eu-fra",
            "/etc/lifeboat/data/chats",
            "s3://replica/eu",
            "https://s3.example",
            "needs",
            "write = \"/bin/false\"",
            "file = \"beats/all\"",
            "tenants = 3",
        ] {
            assert!(written.contains(kept), "{kept}: {written}");
        }
        assert!(Config::parse(Path::new(FILE), &written).is_ok(), "{written}");
    }
}
