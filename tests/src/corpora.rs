//! Corpora of the fuzzer: inputs worth keeping, one file a parser, under `tests/fuzz/corpora`.
//!
//! A file is text, one input a line, in Rust's escapes (`\n`, `\xff`): a change of a corpus can be read.
//! [`seeds`] makes the first ones from objects of a real repository; the fuzzer adds what reaches further.

#![expect(clippy::indexing_slicing, reason = "test support fails loudly")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_repo::crypto::{Decompressor, Identity, open_into, split_object};
use lifeboat_repo::format::index::{SegmentLine, decode_index};
use lifeboat_repo::format::keys::OfficersSeal;
use lifeboat_repo::format::pack::FOOTER_LEN;
use lifeboat_repo::format::records::{FenceBody, GcBody};
use lifeboat_repo::format::{self, FORMAT_VERSION, names, text};
use lifeboat_repo::ids::{ObjectName, RunId};
use lifeboat_repo::repository::recover::Recovery;
use lifeboat_repo::store::Store;
use lifeboat_repo::store::memory::MemoryStore;
use lifeboat_repo::units::{Bytes, Timestamp};

use crate::examine::scratch;
use crate::forge::{packed, sealed_to};
use crate::targets::IDENTITY;
use crate::{World, write};

/// Where the corpora lie.
#[must_use]
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpora")
}

/// The inputs of a corpus file.
#[must_use]
pub fn read(corpus: &str) -> Vec<Vec<u8>> {
    corpus.lines().map(|line| unescaped(line).expect("a line of a corpus")).collect()
}

/// A corpus file of these inputs: sorted by length, each once.
#[must_use]
pub fn written(inputs: impl IntoIterator<Item = Vec<u8>>) -> String {
    let sorted: BTreeSet<(usize, Vec<u8>)> = inputs.into_iter().map(|input| (input.len(), input)).collect();
    sorted.iter().map(|(_, input)| format!("{}\n", input.escape_ascii())).collect()
}

/// The reverse of [`slice::escape_ascii`].
fn unescaped(line: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = line.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                u8::from_str_radix(&format!("{}{}", char::from(rest.next()?), char::from(rest.next()?)), 16)
                    .ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

/// A small repository, and what its objects hold once they are opened.
struct Quarry {
    world: World,
    store: MemoryStore,
    found: Vec<(&'static str, Vec<u8>)>,
}

/// The first inputs of every target: what a real repository holds, opened.
#[must_use]
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let store = MemoryStore::new();
    let world = World::over(Arc::new(store.clone()), scratch());
    let source = world.source();
    write(&source, "shared/readme", b"of nobody");
    write(&source, "tenants/acme/a", b"a of acme");
    write(&source, "tenants/acme/naïve \\ name\x07", b"strange");
    write(&source, "tenants/beta/x", &b"x of beta ".repeat(300));
    std::os::unix::fs::symlink("a", source.join("tenants/acme/link")).expect("a link");
    std::fs::hard_link(source.join("tenants/acme/a"), source.join("tenants/acme/again")).expect("a link");
    xattr::set(source.join("tenants/acme/a"), "user.note", b"\x00\xff").expect("an attribute");
    rustix::fs::mkfifoat(rustix::fs::CWD, source.join("tenants/beta/fifo"), 0o600.into()).expect("a fifo");
    world.backup().expect("a backup");
    write(&source, "tenants/acme/later", b"later");
    world.backup().expect("a backup");
    let mut quarry = Quarry { world, store, found: Vec::new() };
    quarry.stored();
    quarry.tenants();
    quarry.local();
    let mut found = quarry.found;
    found.extend(written_by_hand());
    found
}

impl Quarry {
    fn add(&mut self, target: &'static str, bytes: Vec<u8>) {
        self.found.push((target, bytes));
    }

    fn objects(&self, prefix: &str) -> Vec<(ObjectName, Vec<u8>)> {
        let listed = self.store.list(prefix).expect("a listing");
        let bytes = |name: &ObjectName| self.store.read(name, Bytes::mib(64)).expect("an object");
        listed.into_iter().map(|object| (object.name.clone(), bytes(&object.name))).collect()
    }

    /// Signed objects, and what they hold in clear, for the catalog, for officers and writers.
    fn stored(&mut self) {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        let officers = self.officers();
        let seal: Identity = officers.seal.identity.parse().expect("an identity");
        let identities = [seal, self.world.recovery_identity(), crate::copy(&self.world.card)];
        for (name, object) in self.objects("") {
            let Ok((_, body)) = split_object(&object) else { continue };
            let area = name.as_str().split('/').next().unwrap_or_default();
            let opened = || {
                let mut plain = Vec::new();
                open_into(body, &identities, &mut plain).expect("an object that opens");
                plain
            };
            let cataloged = || recovery.catalog().open(body, "an object").expect("an object that opens");
            match area {
                "trust" => self.add("trust", body.to_vec()),
                "seals" => self.add("seal", opened()),
                "keys" => self.add("key", opened()),
                "cards" => self.add("card", opened()),
                "index" => self.add("index", cataloged()),
                "snapshots" => self.add("snapshot", cataloged()),
                "runs" => self.add("run", body.to_vec()),
                "ledger" => self.add("ledger", body.to_vec()),
                _ => {}
            }
            if matches!(area, "runs" | "trust" | "keys") {
                self.add("signed", object.clone());
            }
        }
        for (_, pack) in self.objects("packs/") {
            let footer = pack.len() - FOOTER_LEN;
            let text = std::str::from_utf8(&pack[footer..]).expect("a footer").to_owned();
            let at: usize = text[22..38].parse().expect("an offset");
            let length: usize = text[39..51].parse().expect("a length");
            self.add("footer", pack[footer..].to_vec());
            let table = recovery.catalog().open(&pack[at..at + length], "a table").expect("a table");
            self.add("table", table);
        }
    }

    fn officers(&self) -> OfficersSeal {
        let seals = self.objects("seals/");
        let (_, object) = seals.iter().rfind(|(name, _)| name.last() == "officers").expect("a seal");
        let (_, body) = split_object(object).expect("a signed object");
        let mut plain = Vec::new();
        open_into(body, &[self.world.recovery_identity()], &mut plain).expect("an open seal");
        format::decode(&plain, "seal").expect("a seal")
    }

    /// Manifests, and frames of segments.
    fn tenants(&mut self) {
        let repository = self.world.repository();
        let recovery = self.world.recovery(&repository);
        for (_, object) in self.objects("index/") {
            let (_, body) = split_object(&object).expect("a signed object");
            let plain = recovery.catalog().open(body, "an index").expect("an index");
            for line in decode_index(&plain).expect("an index").segments {
                let frames = self.frames(&recovery, &line);
                let mut plain = Vec::new();
                Decompressor::new()
                    .and_then(|mut codec| codec.decompress_into(&frames, Bytes::mib(64), &mut plain))
                    .expect("frames");
                self.add("zstd", frames);
                let mut rest = plain.as_slice();
                for chunk in &line.chunks {
                    let (bytes, after) = rest.split_at(chunk.length().as_usize());
                    rest = after;
                    if bytes.starts_with(b"{\"path") {
                        self.add("manifest", bytes.to_vec());
                    }
                }
            }
        }
    }

    fn frames(&self, recovery: &Recovery<'_>, line: &SegmentLine) -> Vec<u8> {
        let pack = names::pack(line.pack.expect("a pack")).expect("a name");
        let bytes = self.store.read(&pack, Bytes::mib(64)).expect("a pack");
        let key = recovery.unwrap_tenant_key(&crate::label("w1"), line.key).expect("a key");
        let start = line.offset.as_usize();
        let mut frames = Vec::new();
        let identity = std::slice::from_ref(&key.identity);
        open_into(&bytes[start..start + line.length.as_usize()], identity, &mut frames).expect("a segment");
        frames
    }

    /// The blocks of local state.
    fn local(&mut self) {
        let state = self.world.dir.path().join("state");
        let key = std::fs::read_to_string(state.join("host.key")).expect("the host's key");
        let identity: Identity = key.trim().parse().expect("an identity");
        let inner = state.join(self.world.repository().id().to_string()).join("files");
        for entry in std::fs::read_dir(inner).expect("state") {
            let mut bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            while let Some(length) = bytes.first_chunk().map(|four| u32::from_le_bytes(*four) as usize) {
                let mut rest = bytes.split_off(4);
                let after = rest.split_off(length);
                let (mut frames, mut plain) = (Vec::new(), Vec::new());
                open_into(&rest, std::slice::from_ref(&identity), &mut frames).expect("a block");
                Decompressor::new()
                    .and_then(|mut codec| codec.decompress_into(&frames, Bytes::mib(64), &mut plain))
                    .expect("frames");
                let head = plain.iter().position(|byte| *byte == b'\n').expect("a header") + 1;
                if plain.len() > head {
                    self.add("state", plain.split_off(head));
                }
                bytes = after;
            }
        }
    }
}

/// Forms of which a small repository holds none, and texts that people write.
fn written_by_hand() -> Vec<(&'static str, Vec<u8>)> {
    let identity: Identity = IDENTITY.parse().expect("an identity");
    let run = RunId::new(Timestamp::new(1_763_923_456, 123_000_000), [7; 8]);
    let snapshot = names::snapshot(&crate::label("files"), run).expect("a name");
    let gc = GcBody {
        format: FORMAT_VERSION,
        seq: names::Seq(3),
        time: Timestamp::new(1_763_923_456, 0),
        packs: vec!["07".repeat(32).parse().expect("an id")],
        snapshots: vec![snapshot.clone()],
        keys: vec![(snapshot.clone(), "08".repeat(32).parse().expect("an id"))],
        ..GcBody::default()
    };
    let fence = FenceBody { format: FORMAT_VERSION, fence: run, time: Timestamp::new(1, 2) };
    let mut all = vec![
        ("gc", format::encode(&gc, "gc").expect("JSON")),
        ("run", format::encode(&fence, "fence").expect("JSON")),
        ("age-edits", Vec::new()),
        ("age-edits", vec![200, 0, 3, 1]),
        ("age-edits", vec![0, 255, 0, 0]),
        ("age-edits", vec![9, 0, 16, 0]),
        ("identities", format!("# created: 2026-11-23\n# public key: age1…\n{IDENTITY}\n").into_bytes()),
        ("identities", b"AGE-PLUGIN-YUBIKEY-1Q\n".to_vec()),
        ("zstd", [packed(b"one "), b"\x50\x2a\x4d\x18\x03\0\0\0abc".to_vec(), packed(b"two")].concat()),
        ("zstd", packed(&[0; 4000])),
        ("config", CONFIG.as_bytes().to_vec()),
    ];
    for plain in [&b""[..], b"x", &[7; 300]] {
        all.push(("age", sealed_to(plain, &identity.recipient())));
    }
    let names = [
        snapshot.as_str().to_owned(),
        "seals/00000002/officers".to_owned(),
        "_system".to_owned(),
        run.to_string(),
        "0a".repeat(32),
        "-2.750000000".to_owned(),
        identity.recipient().to_string(),
        crate::label("fra-1").to_string(),
    ];
    all.extend(names.map(|name| ("names", name.into_bytes())));
    for bytes in [&b"plain"[..], b"\xff\x00\\\n", "naïve\u{85}".as_bytes()] {
        all.push(("text", text::escape(bytes).into_bytes()));
    }
    all.extend(lifeboat_runbooks::BOOKS.iter().map(|(_, book)| ("book", book.as_bytes().to_vec())));
    all.push(("book", BOOK.as_bytes().to_vec()));
    all
}

const BOOK: &str = "---\ncomponent: a\nregion: r\nneeds: [b]\nrto: 24h\nrpo: 1h\nsuccess: 0 digest mismatches\n---\n\n# A\n\n\
    ```sh\nfor people\n```\n\n```sh {\"name\":\"go\",\"timeout\":\"4h\",\"on_fail\":\"continue\"}\ntrue\n```\n";

const CONFIG: &str = r#"[host]
writer = "fra-1"
signing_key = "keys/fra-1"
card_identity = "/run/credentials/card"
state = "./state"
[regions.eu-fra]
jurisdiction = "EU"
repository = "repositories/eu-fra"
officers = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDNbLxGB3hCA5Yhjx3EOMUZ7L0KMFzDVMWDPWcTKYLkN alice"]
rto_limit = "48h"
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

/// Every corpus there is, by the name of its target.
///
/// # Panics
/// One cannot be read.
#[must_use]
pub fn all() -> Vec<(String, Vec<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(home()).expect("corpora") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        all.push((name, read(&std::fs::read_to_string(&path).expect("a corpus"))));
    }
    all.sort();
    all
}

/// Whether the target of this name takes the input; the program's own targets are not known here.
#[must_use]
pub fn is_taken(name: &str, input: &[u8]) -> bool {
    crate::targets::target(name).is_some_and(|look| look(input))
}
