//! Examples for the man pages. A test parses every one, so that none shows what the program does not take.

mod keys;

/// Examples of a verb, by its path: the line, and what it does.
pub(super) fn examples(path: &str) -> &'static [(&'static str, &'static str)] {
    all().find(|(of, _)| *of == path).map_or(&[], |(_, examples)| examples)
}

/// Verbs, and of each lines with what they do.
type Examples = &'static [(&'static str, &'static [(&'static str, &'static str)])];

fn all() -> impl Iterator<Item = &'static (&'static str, &'static [(&'static str, &'static str)])> {
    EXAMPLES.iter().chain(keys::EXAMPLES)
}

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
            (
                "lifeboat verify --level restore --evidence drills/2026-q4 --identity recovery-eu-fra.txt",
                "Leave evidence of it, for `lifeboat evidence sign`.",
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
mod tests;
