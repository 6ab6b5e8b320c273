//! `kit`: what must be at hand when everything else is gone, in one directory to be kept off line. No secrets: those lie in
//! the safe.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use lifeboat_repo::crypto::{sha256, split_object};
use lifeboat_repo::format::RECORD_MAX;
use lifeboat_repo::repository::Repository;
use lifeboat_repo::units::Bytes;
use lifeboat_runbooks::BOOKS;
use serde_json::{Value, json};

use crate::codes::Code;
use crate::config::{Config, Region};
use crate::context::{Context, repository_place};
use crate::exit::Exit;
use crate::failure::{Failure, Result, shown};
use crate::render::{Outcome, Tone};
use crate::trusted;
use crate::verbs::drill::books;
use crate::when::{count_of, show_moment};

mod configuration;

/// Scripts that restore and check without this program.
const SCRIPTS: [(&str, &str); 2] = [
    ("break-glass", include_str!("../../../scripts/break-glass")),
    ("check-signatures", include_str!("../../../scripts/check-signatures")),
];

#[derive(clap::Args)]
pub(crate) struct Args {
    /// A directory to make, best on a disk that is then taken away
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A book of your own, besides those that come with Lifeboat; may be given several times
    #[arg(long = "book", value_name = "FILE")]
    books: Vec<String>,
    /// Only say what would be written
    #[arg(long)]
    dry_run: bool,
}

/// A file of the kit.
struct Piece {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

/// What was read of a region, or why it could not be.
struct Asked<'c> {
    region: &'c Region,
    opened: std::result::Result<Repository, Failure>,
}

pub(crate) fn run(context: &Context, args: &Args) -> Result<Outcome> {
    let config = context.config()?;
    let regions: Vec<Asked<'_>> =
        config.regions.iter().map(|region| Asked { region, opened: context.open(region) }).collect();
    let pieces = pieces(context, &config, &regions, &args.books)?;
    if !args.dry_run {
        write(&args.out, &pieces)?;
    }
    let mut page = context.page();
    let size = pieces.iter().map(|piece| piece.content.len() as u64).sum();
    let verb = if args.dry_run { "would be written" } else { "written" };
    page.heading(&format!("Recovery kit {verb} to {}", shown(&args.out)));
    for piece in &pieces {
        page.raw(&format!("  {}", piece.name));
    }
    page.gap();
    let mut exit = Exit::Ok;
    for asked in &regions {
        if let Err(failure) = &asked.opened {
            exit = exit.worst(Exit::Partly);
            page.marked(
                "missing",
                Tone::Bad,
                &format!("who may sign in {}: {}", asked.region.name, failure.coded()),
            );
        }
    }
    let files = count_of(pieces.len() as u64, "file", "files");
    page.paragraph(
        0,
        &format!(
            "{files}, {}. It holds no secret: recovery identities and officers' keys stay in the safe.",
            Bytes(size)
        ),
    );
    page.paragraph(0, "Take it off line, print START-HERE.md and the books, and make a new one when configuration, officers or books change.");
    let names: Vec<&str> = pieces.iter().map(|piece| piece.name.as_str()).collect();
    let missing: Vec<&str> = regions
        .iter()
        .filter(|asked| asked.opened.is_err())
        .map(|asked| asked.region.name.as_str())
        .collect();
    let value: Value = json!({ "directory": shown(&args.out), "dry_run": args.dry_run, "files": names, "bytes": size,
                               "regions_missing": missing });
    Ok(Outcome { exit, value, page: page.finish() })
}

fn pieces(context: &Context, config: &Config, regions: &[Asked<'_>], own: &[String]) -> Result<Vec<Piece>> {
    let text =
        |name: &str, content: String| Piece { name: name.into(), mode: 0o644, content: content.into_bytes() };
    let program = std::env::current_exe()
        .and_then(fs::read)
        .map_err(|error| Failure::failed(format!("cannot read this program: {error}")).code(Code::Machine))?;
    let books = books_of(own)?;
    let mut pieces = vec![
        text("START-HERE.md", start_here(context, config, &books)),
        text("ADDRESSES.md", addresses(context, regions)),
        text("lifeboat.toml", configuration::for_kit(config)?),
        text("officers.pub", officers(config)),
        Piece { name: "bin/lifeboat".into(), mode: 0o755, content: program },
    ];
    for (name, script) in SCRIPTS {
        pieces.push(Piece { name: format!("scripts/{name}"), mode: 0o755, content: script.into() });
    }
    for (name, book) in books {
        pieces.push(text(&format!("books/{name}.md"), book));
    }
    for asked in regions {
        if let Ok(repository) = &asked.opened {
            pieces.push(text(
                &format!("allowed_signers/{}", asked.region.name),
                signers(repository, asked.region)?,
            ));
        }
    }
    pieces.sort_by(|a, b| a.name.cmp(&b.name));
    let sums: String = pieces
        .iter()
        .map(|piece| format!("{}  {}\n", hex::encode(sha256(&piece.content)), piece.name))
        .collect();
    pieces.push(text("SHA256SUMS", sums));
    Ok(pieces)
}

/// Names and texts of all books: ours, and those of one's own, which take the place of ours of the same name.
fn books_of(own: &[String]) -> Result<Vec<(String, String)>> {
    let mut all: Vec<(String, String)> =
        BOOKS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    for file in own {
        let found = books::find(file)?;
        found.read()?;
        match all.iter_mut().find(|(name, _)| *name == found.name) {
            Some((_, text)) => *text = found.text,
            None => all.push((found.name, found.text)),
        }
    }
    Ok(all)
}

/// The newest trust, as `ssh-keygen` reads it.
fn signers(repository: &Repository, region: &Region) -> Result<String> {
    let name = repository.trust().name()?;
    let bytes = repository
        .store()
        .read(&name, RECORD_MAX)
        .map_err(|error| Failure::from(error).at(repository_place(region)))?;
    let (_, body) = split_object(&bytes)
        .map_err(|error| Failure::new(Exit::Damaged, error.to_string()).at(repository_place(region)))?;
    Ok(String::from_utf8_lossy(body).into_owned())
}

fn officers(config: &Config) -> String {
    let mut lines: Vec<String> = config
        .regions
        .iter()
        .flat_map(|region| {
            region.officers.iter().map(|officer| format!("{} {}\n", officer.key, officer.name))
        })
        .collect();
    lines.sort();
    lines.dedup();
    lines.concat()
}

fn addresses(context: &Context, regions: &[Asked<'_>]) -> String {
    let mut text = format!(
        "# Addresses\n\nAs of {}. Compare them with `lifeboat.toml` beside this page; if something moved, correct that file.\n",
        show_moment(context.now())
    );
    for Asked { region, opened } in regions {
        text.push_str(&format!(
            "\n## Region {} ({})\n\n",
            region.name,
            crate::failure::tame(&region.jurisdiction)
        ));
        let mut line = |name: &str, value: &str| text.push_str(&format!("- {name}: {value}\n"));
        line("repository", &region.repository.whole());
        line(
            "replica",
            &region.replica.as_ref().map_or_else(|| "none".to_owned(), crate::config::Place::whole),
        );
        line(
            "witness",
            &region.witness.as_ref().map_or_else(|| "none".to_owned(), crate::config::Place::whole),
        );
        match opened {
            Ok(repository) => {
                line("id of the repository", &repository.id().to_string());
                for (name, key) in trusted::officers(repository) {
                    line(&format!("officer {name}"), &key.fingerprint().to_string());
                }
            }
            Err(failure) => line("not reached when this was written", &failure.coded()),
        }
    }
    text.push_str(
        "\n## People and places (by hand, now: names and telephone numbers; the books cannot be followed without)\n\n",
    );
    for what in [
        "incident lead",
        "recovery officers",
        "owners of the services",
        "network on-call",
        "safe 1 (recovery identity)",
        "safe 2 (recovery identity; officer's key)",
        "host of the maintainer (gc, retain, replicate)",
        "where it stands when the disruption was",
        "store's provider, support",
    ] {
        text.push_str(&format!("- {what}: ______________________________________________\n"));
    }
    text
}

fn start_here(context: &Context, config: &Config, books: &[(String, String)]) -> String {
    let mut regions = config.regions.iter().map(|region| region.name.to_string());
    let region = regions.next().unwrap_or_else(|| "REGION".to_owned());
    let others: Vec<String> = regions.collect();
    // Whoever has lost another than the first must not type its name.
    let which = if others.is_empty() { String::new() } else { format!("   # or {}", others.join(", ")) };
    let books: String = books
        .iter()
        .map(|(name, text)| {
            let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or_default();
            format!("- `books/{name}.md`: {title}\n")
        })
        .collect();
    format!(
        "# Start here\n\n\
         Recovery kit of {}. It holds the program, its configuration, who may sign, addresses and books; no secret.\n\
         From the safe you need the **recovery identity** of the region (a file with a line `AGE-SECRET-KEY-1…`).\n\n\
         1. Is the kit what was written? In its directory: `sha256sum -c SHA256SUMS`\n\
         2. Copy it onto the disk of a machine in the region's jurisdiction (Linux, with a processor like that of the one it\n\
         \x20  was written on): from a stick programs often may not run. There, as root:\n\n\
         \x20      cp -r /media/kit ~/kit && cd ~/kit && chmod +x bin/* scripts/*\n\
         \x20      export PATH=\"$PWD/bin:$PATH\" LIFEBOAT_CONFIG=\"$PWD/lifeboat.toml\"\n\
         \x20      export REGION={region}{which}\n\
         \x20      export LIFEBOAT_IDENTITY=/media/safe/recovery-$REGION.txt\n\
         \x20      lifeboat --version\n\n\
         \x20  In a new terminal the three lines with `export` must be typed again, in `~/kit`.\n\n\
         3. Open the book that fits, and follow it from its first line:\n\n{books}\n\
         To rehearse it, with everything real but the target, which is emptied in the end (where no tenant was ever erased,\n\
         or nobody keeps an officer's checkpoint, it ends with \"insufficient evidence\" however well it went, and says why):\n\n\
         \x20   lifeboat drill run region-loss --region \"$REGION\" --target /srv/drill --out /srv/drills\n\n\
         If the program does not run, `books/recovery-without-lifeboat.md` needs stock tools alone.\n",
        show_moment(context.now())
    )
}

fn write(out: &Path, pieces: &[Piece]) -> Result<()> {
    DirBuilder::new().mode(0o755).create(out).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            Exit::Refused,
            "there is something of that name; a kit is written into a directory of its own",
        )
        .code(Code::Exists)
        .at(shown(out))
        .next("name another directory, and destroy the old kit once the new one is off line"),
        std::io::ErrorKind::NotFound => Failure::file("make the directory", out, &error).next(
            "make the directory it is to lie in first, or mount its disk: a kit that lands on this host's disk is no kit",
        ),
        _ => Failure::file("make the directory", out, &error),
    })?;
    // Half a kit looks like one.
    fill(out, pieces).inspect_err(|_| drop(fs::remove_dir_all(out)))
}

/// Writes them into a directory that was made for them.
fn fill(out: &Path, pieces: &[Piece]) -> Result<()> {
    for piece in pieces {
        let path = out.join(&piece.name);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(piece.mode).open(&path)?;
            file.write_all(&piece.content)?;
            file.sync_all()
        });
        written.map_err(|error| Failure::file("write the kit", &path, &error))?;
    }
    fs::File::open(out)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| Failure::file("write the kit", out, &error))
}
