//! Examples for the man pages. A test parses every one, so that none shows what the program does not take.

/// Examples of a verb, by its path: the line, and what it does.
pub(super) fn examples(path: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES.iter().find(|(of, _)| *of == path).map_or(&[], |(_, examples)| examples)
}

type Examples = &'static [(&'static str, &'static [(&'static str, &'static str)])];

const EXAMPLES: Examples = &[
    (
        "lifeboat",
        &[
            ("lifeboat demo", "Show everything with real data in a scratch directory."),
            ("lifeboat init", "Write lifeboat.toml; after editing it, make keys and repositories."),
            ("lifeboat backup --all", "Back up everything, every night."),
            ("lifeboat status", "One look at every component."),
        ],
    ),
    (
        "lifeboat init",
        &[
            ("lifeboat init", "Write lifeboat.toml where there is none; else make what it describes."),
            ("lifeboat init --officer alice", "Make keys and repositories; the first officer is alice."),
        ],
    ),
    (
        "lifeboat repair",
        &[
            (
                "lifeboat repair --from replica --dry-run",
                "Say what the replica heals, and what stays damaged.",
            ),
            ("lifeboat repair --from replica", "Heal it, and mark what the replica does not have either."),
            ("lifeboat repair index", "Read lost parts of the index back from the tables of packs."),
        ],
    ),
    (
        "lifeboat serve",
        &[
            (
                "lifeboat serve",
                "Show on http://127.0.0.1:9417/ how ready you are, with /metrics and /healthz.",
            ),
            ("lifeboat serve --listen 127.0.0.1:8080 --host ready.example.com", "The same behind a proxy."),
        ],
    ),
    (
        "lifeboat evidence",
        &[
            ("lifeboat evidence list", "What evidence there is, and whether it still holds."),
            (
                "lifeboat evidence verify drills/2026-11-27t21-00-00z-region-loss",
                "Check who signed it, and every file.",
            ),
        ],
    ),
    (
        "lifeboat evidence list",
        &[("lifeboat evidence list --from drills", "What evidence there is, and whether it still holds.")],
    ),
    (
        "lifeboat evidence show",
        &[("lifeboat evidence show 2026-11-27t21-00-00z-region-loss", "What it says, unchecked.")],
    ),
    (
        "lifeboat evidence sign",
        &[(
            "lifeboat evidence sign DIR --officer-key keys/officer-alice",
            "Sign what a drill left unsigned, once you have read it.",
        )],
    ),
    (
        "lifeboat evidence verify",
        &[
            (
                "lifeboat evidence verify DIR --officer alice.pub",
                "Check it as a stranger, by a key from paper.",
            ),
            (
                "lifeboat evidence verify DIR --against-config",
                "Say, too, whether book, configuration and program are still those.",
            ),
        ],
    ),
    (
        "lifeboat doctor",
        &[
            ("lifeboat doctor", "Check host, configuration and stores, and say what to do."),
            ("lifeboat doctor --passive --json", "The same for a program, writing nothing to the stores."),
        ],
    ),
    (
        "lifeboat backup",
        &[
            ("lifeboat backup --all", "Back up every component."),
            ("lifeboat backup chats --dry-run", "Say what would be backed up, and to where."),
        ],
    ),
    (
        "lifeboat heartbeat",
        &[
            (
                "lifeboat heartbeat",
                "Write a record where the data of each component lies; run it every minute.",
            ),
            (
                "lifeboat heartbeat chats --check /srv/restored --snapshot latest --disaster-at 2026-11-27T03:00:00Z",
                "Say what a restored copy lost, by the records in it.",
            ),
        ],
    ),
    (
        "lifeboat keys bundle",
        &[
            (
                "lifeboat keys bundle",
                "Put today's copy of seals and keys, and delete those over 14 days old.",
            ),
            ("lifeboat keys bundle --list", "List the copies that there are."),
        ],
    ),
    (
        "lifeboat replicate",
        &[
            ("lifeboat replicate --dry-run", "Say what the replicas lack."),
            (
                "lifeboat replicate --region eu-fra",
                "Fill one region's replica, every night after the backups.",
            ),
        ],
    ),
    (
        "lifeboat snapshots",
        &[
            ("lifeboat snapshots", "List what can be restored."),
            ("lifeboat snapshots chats --all", "Expired and ended ones of one component, too."),
        ],
    ),
    (
        "lifeboat stats",
        &[
            ("lifeboat stats", "What every component holds and stores, as far as this host can tell."),
            ("lifeboat stats --identity recovery-eu-fra.txt", "The same with the name of every tenant."),
        ],
    ),
    (
        "lifeboat retain",
        &[
            ("lifeboat retain --dry-run", "Say what would expire of every component, and why."),
            ("lifeboat retain --identity recovery-eu-fra.txt", "Tenants with rules of their own, too."),
        ],
    ),
    ("lifeboat policy", &[("lifeboat policy check", "By when deleted data is gone from the backups.")]),
    (
        "lifeboat policy check",
        &[("lifeboat policy check chats --json", "The same of one component, for a program.")],
    ),
    (
        "lifeboat locks",
        &[
            ("lifeboat locks", "How long everything is locked."),
            ("lifeboat locks --extend", "Extend what ends soon; every day, with credentials of its own."),
        ],
    ),
    (
        "lifeboat ls",
        &[
            ("lifeboat ls chats --identity recovery-eu-fra.txt", "List the newest snapshot of a component."),
            (
                "lifeboat ls chats uploads/acme --at 2026-11-22T03:00:00Z --identity recovery-eu-fra.txt",
                "List one directory as it was.",
            ),
        ],
    ),
    (
        "lifeboat find",
        &[(
            "lifeboat find chats *.pdf --since 2026-11-20T00:00:00Z --identity recovery-eu-fra.txt",
            "Where files of that name are, and when they changed.",
        )],
    ),
    (
        "lifeboat cat",
        &[(
            "lifeboat cat chats uploads/acme/invoice.pdf --output invoice.pdf --identity recovery-eu-fra.txt",
            "Bring back one file.",
        )],
    ),
    (
        "lifeboat diff",
        &[(
            "lifeboat diff chats /srv/chats --identity recovery-eu-fra.txt",
            "What changed since the newest snapshot. Exit status 9 if anything did.",
        )],
    ),
    (
        "lifeboat restore",
        &[
            (
                "lifeboat restore chats --target /srv/chats --identity recovery-eu-fra.txt",
                "Restore the newest snapshot into an empty directory.",
            ),
            (
                "lifeboat restore chats --tenant acme --path uploads/acme --target /tmp/look --identity recovery-eu-fra.txt",
                "Restore one tenant's files.",
            ),
            (
                "lifeboat restore chats --target /srv/chats --shard 3/16 --identity recovery-eu-fra.txt",
                "Restore the third of sixteen parts; others do the other parts at the same time.",
            ),
            (
                "lifeboat restore chats --target /srv/chats --finish --identity recovery-eu-fra.txt",
                "When all sixteen are complete, make of them what one restore makes.",
            ),
        ],
    ),
    (
        "lifeboat verify",
        &[
            ("lifeboat verify --level integrity", "Read and check every byte; needs no secret."),
            (
                "lifeboat verify --level all --identity recovery-eu-fra.txt",
                "Check everything, restore, and judge the objectives.",
            ),
        ],
    ),
    (
        "lifeboat status",
        &[
            (
                "lifeboat status",
                "Exit status 0 only if every component meets its objectives: fit for a monitor.",
            ),
            ("lifeboat status --html ready.html", "And a page that says whether you could recover today."),
        ],
    ),
    (
        "lifeboat gc",
        &[
            ("lifeboat gc --dry-run", "Say what would be condemned, copied and deleted, and why."),
            ("lifeboat gc", "Every night, on a maintainer's host: collect in every region."),
        ],
    ),
    (
        "lifeboat keys",
        &[("lifeboat keys check --identity recovery-eu-fra.txt", "Does the identity open everything?")],
    ),
    ("lifeboat keys writer", &[("lifeboat keys writer list", "List the hosts that may back up.")]),
    (
        "lifeboat keys writer new",
        &[("lifeboat keys writer new", "Make this host's keys, and the line for an officer.")],
    ),
    (
        "lifeboat keys writer add",
        &[(
            "lifeboat keys writer add app-1 --component chats --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Enrol this host, whose name is app-1, for one component.",
        )],
    ),
    (
        "lifeboat keys writer revoke",
        &[(
            "lifeboat keys writer revoke app-2 --officer-key officer-alice --identity recovery-eu-fra.txt",
            "End a writer, after its host was broken into or retired.",
        )],
    ),
    (
        "lifeboat keys writer list",
        &[("lifeboat keys writer list --region eu-fra", "List the writers of one region.")],
    ),
    (
        "lifeboat erase",
        &[
            (
                "lifeboat erase acme --region eu-fra --dry-run --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Say what would be erased, and from when on that is beyond recovery.",
            ),
            (
                "lifeboat erase acme --region eu-fra --irrevocably --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Erase the tenant: its keys are destroyed, and nobody takes or gives back its data.",
            ),
            (
                "lifeboat erase --prove 0 --region eu-fra --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Try whether anything that is left opens what tombstone 0 erased.",
            ),
        ],
    ),
    (
        "lifeboat keys reseal",
        &[
            (
                "lifeboat keys reseal --officer-key officer-alice --identity recovery-eu-fra.txt",
                "Once a month: make a new seal and seal every tenant key to it.",
            ),
            (
                "lifeboat keys reseal --finish --officer-key officer-alice --identity recovery-eu-fra.txt",
                "A day later: destroy the seal before, or say from when on that may be.",
            ),
        ],
    ),
    ("lifeboat keys catalog", &[("lifeboat help keys catalog renew", "See what it takes.")]),
    (
        "lifeboat keys catalog renew",
        &[(
            "lifeboat keys catalog renew --officer-key officer-alice --identity recovery-eu-fra.txt",
            "After a host was broken into and its writer revoked.",
        )],
    ),
    (
        "lifeboat keys officer remove",
        &[(
            "lifeboat keys officer remove bob --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Bob leaves: what is stored from now on his recovery identity does not open.",
        )],
    ),
    (
        "lifeboat keys maintainer",
        &[("lifeboat keys maintainer list", "List those who expire, collect and copy.")],
    ),
    (
        "lifeboat keys maintainer new",
        &[("lifeboat keys maintainer new", "Make this host's keys, and the line for an officer.")],
    ),
    (
        "lifeboat keys maintainer add",
        &[(
            "lifeboat keys maintainer add keeper-1 --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Enrol this host, whose name is keeper-1, in every region.",
        )],
    ),
    (
        "lifeboat keys maintainer revoke",
        &[(
            "lifeboat keys maintainer revoke keeper-1 --officer-key officer-alice --identity recovery-eu-fra.txt",
            "End a maintainer, after its host was broken into or retired.",
        )],
    ),
    (
        "lifeboat keys maintainer list",
        &[("lifeboat keys maintainer list --region eu-fra", "List the maintainers of one region.")],
    ),
    ("lifeboat keys officer", &[("lifeboat help keys officer add", "See what a new officer must bring.")]),
    (
        "lifeboat keys officer add",
        &[(
            "lifeboat keys officer add bob --signing-key-file officer-bob.pub \
             --recovery-recipient age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj \
             --officer-key officer-alice --identity recovery-eu-fra.txt",
            "Take in a second officer, with a recovery identity of his own.",
        )],
    ),
    (
        "lifeboat keys check",
        &[(
            "lifeboat keys check --identity recovery-eu-fra.txt",
            "Try every tenant's key, and a segment of each.",
        )],
    ),
    (
        "lifeboat keys paper",
        &[(
            "lifeboat keys paper --identity recovery-eu-fra.txt",
            "Print what belongs in the safe, without the secret.",
        )],
    ),
    (
        "lifeboat drill",
        &[("lifeboat drill check", "See whether the books still say what the program understands.")],
    ),
    (
        "lifeboat drill check",
        &[
            ("lifeboat drill check", "All books that come with Lifeboat."),
            ("lifeboat drill check books/chats.md", "One of your own, held against lifeboat.toml."),
        ],
    ),
    (
        "lifeboat drill plan",
        &[(
            "lifeboat drill plan region-loss --region eu-fra --identity recovery-eu-fra.txt",
            "Say what the drill would do, from which snapshots, and which faults it plants.",
        )],
    ),
    (
        "lifeboat drill run",
        &[
            (
                "lifeboat drill run region-loss --region eu-fra --target /srv/drill --identity recovery-eu-fra.txt",
                "Rehearse the loss of a region, as if it struck now.",
            ),
            (
                "lifeboat drill run region-loss --region eu-fra --target /srv/drill --window 12h --seed 2026-Q4",
                "The same, as if it struck at a moment of the last 12 hours that nobody chose.",
            ),
            ("lifeboat drill run --resume", "Go on with the drill that was cut off."),
        ],
    ),
    (
        "lifeboat drill list",
        &[("lifeboat drill list", "Drills by when they ended, and those that were cut off.")],
    ),
    (
        "lifeboat drill compare",
        &[(
            "lifeboat drill compare 2026-08-27t09-00-00z-region-loss 2026-11-27t09-00-00z-region-loss",
            "What became quicker or slower since last quarter.",
        )],
    ),
    (
        "lifeboat kit",
        &[
            ("lifeboat kit --out /media/usb/kit", "Write the recovery kit, and take the disk away."),
            ("lifeboat kit --out /media/usb/kit --book books/chats.md", "With a book of your own."),
        ],
    ),
    (
        "lifeboat explain",
        &[
            ("lifeboat explain LB-201", "What the code means and what to do."),
            ("lifeboat explain", "List all codes."),
        ],
    ),
    ("lifeboat completions", &[("lifeboat completions bash", "Print the script; a login shell sources it.")]),
    ("lifeboat manual", &[("lifeboat manual --out /usr/local/share/man/man1", "Write these pages.")]),
    (
        "lifeboat demo",
        &[
            ("lifeboat demo", "Play the whole story in a scratch directory."),
            (
                "lifeboat demo /tmp/demo --from /etc --files 500",
                "Play it with files of your choice, and keep it.",
            ),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    #[test]
    fn every_example_is_taken_by_the_program() {
        for (path, examples) in EXAMPLES {
            for (line, _) in *examples {
                let parsed = Cli::try_parse_from(line.split_whitespace());
                let help = line.starts_with("lifeboat help");
                if let Err(error) = parsed {
                    assert!(help && error.exit_code() == 0, "{path}: {line}: {error}");
                }
            }
        }
    }

    #[test]
    fn every_page_has_examples_and_its_sections() {
        let pages = super::super::pages().unwrap();
        assert!(pages.len() >= 20, "{}", pages.len());
        for (name, text) in pages {
            let text = String::from_utf8(text).unwrap();
            let path = name.trim_end_matches(".1");
            let found = EXAMPLES.iter().filter(|(of, _)| of.replace(' ', "-") == path).count();
            assert_eq!(found, 1, "{path} has no examples");
            for section in ["NAME", "SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT", "EXAMPLES"] {
                let (plain, quoted) = (format!("\n.SH {section}\n"), format!("\n.SH \"{section}\"\n"));
                assert!(text.contains(&plain) || text.contains(&quoted), "{name} lacks {section}");
            }
        }
    }
}
