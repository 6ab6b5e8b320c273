//! The catalogue of errors: a code that never changes for everything that can go wrong, with its meaning and what
//! to do. `lifeboat explain CODE` prints an entry, docs/errors.md has them all.
//!
//! The first digit is the exit code the error usually ends with. It may end with another: a check that meets a
//! store that fails ends with 5, since nothing is known then. The code says what happened, the exit code what it
//! means for the verb.

use std::fmt;

use crate::exit::Exit;

macro_rules! codes {
    ($($(#[$attribute:meta])* $name:ident = $number:literal: $title:literal, $meaning:literal, $next:literal;)*) => {
        /// What went wrong, for scripts, for searching, for `lifeboat explain`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub(crate) enum Code {
            $($(#[$attribute])* #[doc = $title] $name = $number,)*
        }

        impl Code {
            /// All of them, by number.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What it is, in a few words.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What it means.
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What to do.
            pub(crate) const fn next(self) -> &'static str {
                match self { $(Self::$name => $next,)* }
            }
        }
    };
}

codes! {
    Failed = 100: "something on this machine failed",
        "The operating system or a library refused something that the verb needs. It says nothing of the stored data.",
        "Read what the system said, mend it, and run the verb again: nothing is left half done.";
    Store = 101: "the store failed",
        "The repository's store could not be read, listed or written: not mounted, full, no permission, a failing disk. \
         Nothing is known about the data in it.",
        "Check that the place exists, has room and may be used by this user; then run it again.";
    File = 102: "a file on this machine cannot be used",
        "A file or directory that is not part of the repository could not be read, made or written.",
        "Check the path, its permissions and the free space; then run it again.";
    Machine = 103: "a library or the machine's randomness failed",
        "Something that should always work did not: random numbers, a compression context.",
        "Run it again; if it stays, check memory and limits (`ulimit -a`), and report it with the output of --verbose.";
    Source = 104: "what is to be backed up cannot be read",
        "The root of the component, or the command that yields its data, gave nothing that could be backed up. No \
         snapshot was made; older ones are untouched.",
        "Check that the component's path exists and that this user may read it. Backups usually run as root.";
    State = 105: "the state directory cannot be used",
        "The state directory remembers what was backed up, so that the next backup is quick. It holds nothing that a \
         restore needs.",
        "Check its permissions and free space. It may be emptied: the next backup then reads everything once.";
    Memory = 106: "this machine damages data",
        "What was sealed did not open again as what went in: memory or a processor changed bits. The backup stopped \
         before anything wrong was committed.",
        "Test the machine's memory before you rely on anything it computes, and back up from another host meanwhile.";
    Scratch = 107: "the scratch space cannot be used",
        "A rehearsal restores into scratch space, and that could not be written.",
        "Name a directory with enough room by --scratch DIR.";
    Output = 108: "the output cannot be written",
        "Standard output could not be written: a full disk behind a redirection, for example.",
        "Look where the output goes. What the verb did before is done.";
    Program = 109: "a command or a hook failed",
        "A program that yields a component's data, or a hook that must run before it is read, could not be started, ended \
         with an error, was killed or took too long. No snapshot was made, even if the output looked whole; older \
         snapshots are untouched.",
        "Run the program by hand as the same user with the same environment, mend it, then run the backup again.";
    StoreRefuses = 110: "the store refuses it",
        "The server that holds the repository answered, and said no: these credentials may not do this, a lock forbids \
         it, or it does not do such a thing at all. Nothing was changed.",
        "Check which credentials are used and what the bucket's policy grants them (docs/stores.md); what is locked can \
         be deleted once the lock has ended.";
    StoreUnreachable = 111: "the store cannot be reached, or fails",
        "The server that holds the repository did not answer as it should, however often it was asked: no connection, \
         timeouts, answers that broke off, errors of its own. Nothing is known about the data in it.",
        "Check address, network and the server's state, then run it again; what was begun is continued.";

    Heartbeat = 113: "a heartbeat could not be written",
        "The record that says how far a component's data goes could not be written where that data lies, or nobody could \
         tell yet whose record it would be. Backups are not touched by it; what a disaster loses is known less exactly.",
        "Check the file or the program of [components.NAME.heartbeat], and that the repository was reached once.";

    Usage = 200: "the command line does not make sense",
        "An argument is missing, unknown, or contradicts another. Nothing was done.",
        "See `lifeboat help VERB`.";
    NoConfiguration = 201: "there is no configuration file",
        "Neither --config, nor LIFEBOAT_CONFIG, nor lifeboat.toml in the current directory names a file that is there.",
        "Write one with `lifeboat init`, or name yours with --config FILE.";
    Configuration = 202: "a mistake in the configuration",
        "The configuration cannot be read or does not hold together. The place says line and column.",
        "Correct that line; `lifeboat init` in an empty directory writes a file with every field explained.";
    NoRegion = 203: "there is no such region",
        "The name is none of the [regions.…] of the configuration.",
        "Use one of the names that the error lists.";
    NoComponent = 204: "there is no such component",
        "The name is none of the [components.…] of the configuration.",
        "Use one of the names that the error lists.";
    NoHost = 205: "this configuration describes no host that writes",
        "There is no [host], so there is no writer to back up as, and no key to look with.",
        "Add [host] on a host that backs up; elsewhere give a recovery identity with --identity FILE.";
    NoSnapshot = 206: "there is no such snapshot, or several",
        "No snapshot of the component begins with what was given, or more than one does.",
        "`lifeboat snapshots` lists them; write as much of the name as makes it one.";
    Moment = 207: "a moment or a duration is not understood",
        "The text is in none of the forms that are read.",
        "Write 2026-11-23T18:43:39Z, \"2026-11-23 18:43\" (this machine's zone), now, or \"3h ago\".";
    NoKeyFile = 208: "a key file is not there",
        "The file of a signing key, a card identity or a recovery identity does not exist or cannot be read.",
        "Check the path. A host's own keys are made by `lifeboat keys writer new`; recovery identities and officers' \
         keys lie in the safe.";
    NoOfficerKey = 209: "an officer's signing key is needed",
        "Only an officer may change who writes and who recovers, and no officer's key was given.",
        "Give --officer-key FILE, or set LIFEBOAT_OFFICER_KEY.";
    Overlap = 210: "a component and a repository lie within each other",
        "A repository inside what it backs up would swallow itself, and would burn with it.",
        "Keep them apart, best on different machines.";
    Unexplained = 211: "there is no such code",
        "The catalogue has no entry of that number.",
        "`lifeboat explain` lists all.";
    NoReplica = 212: "the region has no replica",
        "The verb was to look at, or to copy into, the replica of a region for which the configuration names none.",
        "Add replica = \"s3://BUCKET/PREFIX\" or a directory to the region's section, in the region's jurisdiction.";
    NoHeartbeat = 213: "no component has a heartbeat",
        "What was asked for needs a [components.NAME.heartbeat] section, and there is none.",
        "Add it: for a tree of files it may be empty; for anything else it names a program that writes the record.";
    NoBook = 220: "there is no such runbook",
        "No book that comes with Lifeboat has that name, or the file cannot be read.",
        "`lifeboat drill check` names those that come along; write your own as a file that ends with .md.";
    BadBook = 221: "a runbook cannot be relied on",
        "It breaks the form that books have: what cannot be read today would be passed over in a disaster.",
        "Mend the line that is named, then run `lifeboat drill check`.";
    NoValue = 222: "something a drill needs has no value",
        "A variable of the book, the target, what shows that a step was done or who agreed to it is missing or not understood.",
        "Give --target DIR, --set NAME=VALUE, --done STEP=TEXT or --approved as the error says; secrets in the environment.";

    NoEvidence = 230: "there is no evidence here",
        "The directory is not there, or is none that a drill, a verification or an erasure left.",
        "`lifeboat evidence list` names those there are; --from says where they lie.";
    NotLoopback = 231: "this page is for this machine alone",
        "`serve` has neither users nor passwords: whoever reaches it reads how ready you are, and what is missing. It \
         listens on loopback unless it is told otherwise.",
        "Listen on 127.0.0.1 behind a proxy that asks who is there; or say --beyond-loopback, on a network of your own.";

    Partly = 300: "not all of it could be done",
        "Something was done and is sound; the rest is listed with the reason.",
        "Read the list; mend what it names and run the verb again.";

    Damaged = 400: "stored data is damaged",
        "Stored bytes are not what was written.",
        "See how much is affected with `lifeboat verify --level integrity`, and whom with --level readback; what other \
         snapshots hold can still be restored.";
    ObjectMissing = 401: "a stored object is missing",
        "Something names an object that is not in the store.",
        "See whom it hits with `lifeboat verify --level readback`; look for the object in a copy of the repository.";
    ObjectDamaged = 402: "a stored object is damaged",
        "An object's bytes do not match its name, its signature or the form it must have.",
        "See whom it hits with `lifeboat verify --level readback`; look for the object in a copy of the repository.";
    Untrusted = 403: "a stored object is signed by nobody who is trusted",
        "The signature holds, but its key was not allowed to sign this, or not at that time. Either the configuration \
         pins the wrong officers, or somebody forged the object.",
        "Compare the officers' keys in lifeboat.toml with those on the paper in the safe. If they agree, treat it as an \
         attack: keep the store as it is, and restore from an earlier snapshot.";
    RolledBack = 404: "the repository was rolled back",
        "A witness in another account keeps ledger entries that the repository does not have any more, or that are others \
         there now: somebody took away its end, or put an older state of it in its place.",
        "Stop backing up into it, keep it as it is for whoever investigates, and look at the replica with --replica: what is \
         gone here may be there.";

    EvidenceChanged = 450: "evidence is not what was signed",
        "A file was changed, added or taken away since it was signed, or what it says does not agree with itself. Each thing \
         that is wrong is named with its reason (docs/evidence.md).",
        "Believe nothing of it. Ask whoever gave it to you for another copy, and keep this one for whoever investigates.";

    Unchecked = 500: "a check could not run",
        "Neither good nor bad is known. This is never a pass.",
        "Mend what stopped it, then run the check again.";

    EvidenceExpired = 550: "evidence has expired",
        "It is whole and signed, and speaks of another book, configuration or version of the program than there is now, or is \
         older than a quarter of a year. It says how things were, not how they are.",
        "Run the drill again, or what else it is of.";
    EvidenceUnsigned = 551: "evidence is not signed yet",
        "Every file has its hash, is what the facts make, and agrees with the others, and nobody's word is behind it. Whoever may \
         write all of them can write others that agree.",
        "Read it where it was made; whoever led that signs it with `lifeboat evidence sign DIR --officer-key FILE`.";

    Missed = 600: "an objective is missed",
        "A restore takes longer than was promised, or the newest snapshot is older than was promised.",
        "`lifeboat status` says which; back up more often, or restore with more machines.";

    Refused = 700: "refused",
        "What was asked for may not be done, or not like this. Nothing was changed.",
        "Read what is in the way, and decide.";
    NotPinned = 701: "no officer's key is pinned",
        "Trust begins with the officers' keys in the configuration. Without one nothing in a repository can be \
         believed.",
        "Make the repository with `lifeboat init`, or copy the officer's public key from the paper in the safe to \
         officers = [\"ssh-ed25519 AAAA… name\"].";
    WrongRegion = 702: "the repository belongs to another region",
        "Region or jurisdiction of the configuration are not those the repository was made for. Data must not leave its \
         jurisdiction by a mistyped path.",
        "Correct the region's name, jurisdiction or repository in lifeboat.toml.";
    NoRepository = 703: "there is no repository here",
        "The directory is not there. It is not made by itself: an unmounted disk must not look like an empty \
         repository.",
        "Check the path and that its disk is mounted. If it is lost, restore from its replica with --replica (or \
         LIFEBOAT_REPLICA=yes); only where there never was one, make it with `lifeboat init`, and none in its place before \
         all is back.";
    IdentityNeeded = 704: "a recovery identity is needed",
        "Only a recovery identity opens tenants' data, and none was given.",
        "Give --identity FILE (or LIFEBOAT_IDENTITY). It lies in the safe.";
    WrongKey = 705: "the key does not open it",
        "The identity at hand is none of those it was sealed to.",
        "Look for the identity whose file names this region, or ask another officer.";
    NotAllowed = 706: "the repository refuses",
        "The writer is not enrolled, not bound to this component, revoked, or what is asked for is not there.",
        "An officer can enrol a writer with `lifeboat keys writer add`; `lifeboat keys writer list` shows who may \
         write.";
    Exists = 707: "a file is there already",
        "Keys and configurations are written once and never overwritten.",
        "Move it away if you no longer need it, or choose another place.";
    BadKey = 708: "a key file cannot be used",
        "The file is there, and is not the key it should be.",
        "Check that it is the right file: signing keys as ssh-keygen writes them, identities as age-keygen does.";
    NotAnOfficer = 709: "the key is no officer's",
        "Its owner may not change who writes and who recovers in this region.",
        "Give an officer's signing key with --officer-key FILE; `lifeboat keys paper` names the officers.";
    Busy = 710: "another backup is under way",
        "A backup of this component runs on this host already.",
        "Let it finish, then run this again.";
    NotRestored = 711: "this restore is refused",
        "The target is not empty or not safe to write to, or there is no snapshot that fits what was asked for.",
        "Read what is in the way; `lifeboat snapshots` says what there is, `lifeboat help restore` what can be asked \
         for.";
    NoWriter = 712: "there is no such writer",
        "No region asked for has enrolled a writer of that name.",
        "`lifeboat keys writer list` shows those there are.";
    NotVerified = 713: "this verification is refused",
        "What was asked for makes no sense here.",
        "See `lifeboat help verify`.";
    ClocksApart = 720: "two clocks disagree by more than a day",
        "This machine and the store do not agree about the time. Snapshots dated by a wrong clock hide those that come \
         after them, or would expire long before their time. Nothing was done.",
        "Set the clock that is wrong, then run it again.";
    NoTenant = 721: "nobody of that name",
        "No key of such a tenant is stored here. Most likely its name is mistyped, or it is another region's.",
        "Look at the name and the region. `lifeboat erase --in-advance` keeps out a tenant who has no data here yet.";
    DrillTarget = 730: "this is no target for a drill",
        "It is what is backed up, a repository or a key, lies within one or holds one (by whatever name), is not empty, or is \
         that of a drill that was cut off. A drill empties its target in the end.",
        "Name a directory of its own, empty or not there yet, best on a disk of its own; or go on with the drill that was cut \
         off, as `lifeboat drill list` says.";
    NoDrill = 731: "there is no such drill, or it cannot go on",
        "No drill of that name was cut off or has evidence, another process is at it, or its book or configuration is another \
         by now.",
        "`lifeboat drill list` names those there are; begin a new one.";

    EvidencePlace = 732: "evidence may not lie there",
        "The directory is what is backed up, a repository, a key or this host's state, lies within one or holds one (by \
         whatever name), or is not empty. Nothing was done.",
        "Name a directory of its own, empty or not there yet; below `drills` it counts for `lifeboat status`.";

    EvidenceSigner = 750: "evidence is signed by nobody you vouch for",
        "The signature holds, but its key is none of those that the configuration pins, --officer names or --allowed-signers \
         allows for evidence.",
        "Compare its fingerprint with the one on paper. If that is another, believe nothing of it; if it is the same, name that \
         key with --officer.";

    Interrupted = 800: "interrupted",
        "Ctrl-C or SIGTERM ended it. Nothing that counts is half done.",
        "Run it again when you are ready: it continues from what is stored.";

    Different = 900: "two things differ",
        "`diff` found a difference. It is no error: nothing failed.",
        "Read what it lists.";
}

impl Code {
    /// The number.
    pub(crate) const fn number(self) -> u16 {
        self as u16
    }

    /// The exit code it usually ends with: the first digit.
    pub(crate) fn exit(self) -> Exit {
        let digit = self.number() / 100;
        Exit::ALL.into_iter().find(|exit| u16::from(exit.code()) == digit).unwrap_or(Exit::Failed)
    }

    /// What is known of a failure of which only the exit code is known.
    pub(crate) const fn of(exit: Exit) -> Self {
        match exit {
            Exit::Ok | Exit::Failed => Self::Failed,
            Exit::Usage => Self::Usage,
            Exit::Partly => Self::Partly,
            Exit::Damaged => Self::Damaged,
            Exit::Unchecked => Self::Unchecked,
            Exit::Missed => Self::Missed,
            Exit::Refused => Self::Refused,
            Exit::Interrupted => Self::Interrupted,
            Exit::Different => Self::Different,
        }
    }

    /// Reads `LB-201`, `lb201` or `201`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let digits =
            text.strip_prefix("LB").map_or(text.as_str(), |rest| rest.strip_prefix('-').unwrap_or(rest));
        let number: u16 = digits.parse().ok()?;
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("LB-{}", self.number()))
    }
}

/// The catalogue as docs/errors.md has it.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Errors\n\n\
         Every error carries a code. It stands in the text (`error[LB-201]: …`) and in what `--json` prints\n\
         (`\"error\": {\"code\": \"LB-201\", …}`), and `lifeboat explain LB-201` prints what stands here. A code never\n\
         changes its meaning and is never used again. New ones are added; act on the exit code where a code is\n\
         unknown to you.\n\n\
         The first digit is the exit code that the error usually ends with (see [exit codes](exit-codes.md)). It may\n\
         end with another: where `verify`, `status` or `doctor` meet LB-101, they end with 5, since nothing is known\n\
         then.\n\n\
         The file is written by `lifeboat explain --all --markdown`; a test compares both.\n",
    );
    let mut family = None;
    for code in Code::ALL {
        let exit = code.exit();
        if family != Some(exit) {
            family = Some(exit);
            text.push_str(&format!("\n## {}: {}\n", exit.code(), exit.word()));
        }
        text.push_str(&format!(
            "\n### {code}: {}\n\n{}\n\nNext: {}\n",
            code.title(),
            code.meaning(),
            code.next()
        ));
    }
    text
}

#[cfg(test)]
mod tests;
