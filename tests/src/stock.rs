//! Stock tools: what people have where there is no Lifeboat, and nothing else.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use lifeboat_repo::crypto::{Identity, Kind, SigningKey, sha256, sign_object};
use lifeboat_repo::ids::{ObjectHash, ObjectName};
use lifeboat_repo::store::{Created, Store};

use crate::World;

/// Everything that the scripts and the books say they need, apart from coreutils.
const TOOLS: &[&str] = &["sh", "age", "zstd", "jq", "ssh-keygen", "sed", "grep"];

/// GNU coreutils. `cmp` and `diff`, `find` and `xargs`, `awk` and `perl` are not among them.
const COREUTILS: &[&str] = &[
    "[",
    "arch",
    "b2sum",
    "base32",
    "base64",
    "basename",
    "basenc",
    "cat",
    "chgrp",
    "chmod",
    "chown",
    "cksum",
    "comm",
    "cp",
    "csplit",
    "cut",
    "date",
    "dd",
    "df",
    "dir",
    "dirname",
    "du",
    "echo",
    "env",
    "expand",
    "expr",
    "factor",
    "false",
    "fmt",
    "fold",
    "head",
    "id",
    "install",
    "join",
    "link",
    "ln",
    "ls",
    "md5sum",
    "mkdir",
    "mkfifo",
    "mknod",
    "mktemp",
    "mv",
    "nl",
    "nproc",
    "numfmt",
    "od",
    "paste",
    "pathchk",
    "pr",
    "printenv",
    "printf",
    "ptx",
    "pwd",
    "readlink",
    "realpath",
    "rm",
    "rmdir",
    "seq",
    "sha1sum",
    "sha256sum",
    "sha512sum",
    "shred",
    "shuf",
    "sleep",
    "sort",
    "split",
    "stat",
    "stdbuf",
    "stty",
    "sum",
    "sync",
    "tac",
    "tail",
    "tee",
    "test",
    "timeout",
    "touch",
    "tr",
    "true",
    "truncate",
    "tsort",
    "tty",
    "uname",
    "unexpand",
    "uniq",
    "unlink",
    "vdir",
    "wc",
    "whoami",
    "yes",
];

/// A directory that holds nothing but stock tools, and is all there is on the `PATH` of what runs with it.
pub struct Toolbox {
    dir: tempfile::TempDir,
}

impl Toolbox {
    /// All tools.
    ///
    /// # Panics
    /// One of them is not installed.
    #[must_use]
    pub fn new() -> Self {
        let toolbox = Self { dir: tempfile::tempdir().expect("a temporary directory") };
        for directory in ["bin", "tmp"] {
            fs::create_dir(toolbox.dir.path().join(directory)).expect("a directory");
        }
        for tool in TOOLS.iter().chain(COREUTILS) {
            symlink(installed(tool), toolbox.tool(tool)).expect("a link to a tool");
        }
        toolbox
    }

    /// Where a tool is.
    #[must_use]
    pub fn tool(&self, name: &str) -> PathBuf {
        self.dir.path().join("bin").join(name)
    }

    /// Takes a tool away.
    pub fn take(&self, name: &str) {
        fs::remove_file(self.tool(name)).expect("a tool that is there");
    }

    /// Has a tool note its arguments, a line a call, in the file that is returned.
    #[must_use]
    pub fn note_calls(&self, name: &str) -> PathBuf {
        let notes = self.dir.path().join(format!("{name}.calls"));
        let script = format!(
            "#!{}\nprintf '%s\\n' \"$*\" >>'{}'\nexec '{}' \"$@\"\n",
            installed("sh").display(),
            notes.display(),
            installed(name).display()
        );
        self.take(name);
        fs::write(self.tool(name), script).expect("a script");
        fs::set_permissions(self.tool(name), fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::write(&notes, "").expect("a file");
        notes
    }

    /// A shell, in the directory of the project, with an environment of nothing but `PATH` and `TMPDIR`.
    #[must_use]
    pub fn shell(&self) -> Command {
        let mut command = Command::new(self.tool("sh"));
        command
            .env_clear()
            .env("PATH", self.dir.path().join("bin"))
            .env("TMPDIR", self.dir.path().join("tmp"));
        command.current_dir(project()).stdin(Stdio::null());
        command
    }

    /// Runs one of the project's scripts.
    ///
    /// # Panics
    /// It left something behind in `TMPDIR`: plaintext and keys lie there.
    pub fn script<A: AsRef<OsStr>>(&self, script: &str, args: impl IntoIterator<Item = A>) -> Said {
        let said = Said::of(self.shell().arg(script).args(args));
        let left: Vec<_> = fs::read_dir(self.dir.path().join("tmp")).expect("a directory").collect();
        assert!(left.is_empty(), "{script} left {left:?} behind; it said {said:#?}");
        said
    }

    /// Runs lines of shell in a directory; `$1` and so on are the arguments.
    pub fn lines<A: AsRef<OsStr>>(&self, dir: &Path, lines: &str, args: impl IntoIterator<Item = A>) -> Said {
        let mut shell = self.shell();
        Said::of(shell.current_dir(dir).args(["-eu", "-c", lines, "lines"]).args(args))
    }
}

impl Default for Toolbox {
    fn default() -> Self {
        Self::new()
    }
}

/// What a program said, and how it ended.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit status; none where a signal ended it.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Said {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("a program that starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// What it printed, if all went well.
    ///
    /// # Panics
    /// It did not end with 0.
    #[must_use]
    pub fn done(self) -> String {
        assert_eq!(self.status, Some(0), "{self:#?}");
        self.stdout
    }
}

/// What lies in the safe.
pub struct Safe {
    /// The officer's public key.
    pub officers: PathBuf,
    /// The recovery identity.
    pub identity: PathBuf,
    /// The repository, of which there is a copy in a directory.
    pub repository: PathBuf,
}

impl Safe {
    /// That of a world on a local store.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let at = |name: &str| world.dir.path().join(name);
        let safe =
            Self { officers: at("officers.pub"), identity: at("recovery.txt"), repository: at("repository") };
        fs::write(&safe.officers, format!("{} alice\n", world.officer.public())).expect("a file");
        let identity = format!("# alice\n{}\n", world.recovery.to_secret_string().as_str());
        fs::write(&safe.identity, identity).expect("a file");
        safe
    }

    /// The same papers for a copy of the repository.
    ///
    /// # Panics
    /// It cannot be copied.
    #[must_use]
    pub fn copied(&self, to: &Path) -> Self {
        copy_tree(&self.repository, to);
        Self { officers: self.officers.clone(), identity: self.identity.clone(), repository: to.to_owned() }
    }

    /// The first arguments of both scripts.
    #[must_use]
    pub fn papers(&self) -> Vec<&OsStr> {
        vec!["--repository".as_ref(), self.repository.as_ref(), "--officer".as_ref(), self.officers.as_ref()]
    }

    /// The names of all objects whose name begins so, sorted.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<String> {
        let store = lifeboat_repo::store::local::LocalStore::open(&self.repository).expect("a store");
        let listed = store.list("").expect("a listing");
        listed
            .into_iter()
            .map(|object| object.name.to_string())
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    /// An object's path.
    #[must_use]
    pub fn path(&self, object: &str) -> PathBuf {
        self.repository.join(object)
    }

    /// An object's bytes.
    #[must_use]
    pub fn read(&self, object: &str) -> Vec<u8> {
        fs::read(self.path(object)).expect("an object")
    }

    /// Puts other bytes in an object's place, or new ones where there is none.
    pub fn put(&self, object: &str, bytes: &[u8]) {
        let path = self.path(object);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        let _ = fs::remove_file(&path);
        fs::write(path, bytes).expect("an object");
    }

    /// Takes an object away.
    pub fn remove(&self, object: &str) {
        fs::remove_file(self.path(object)).expect("an object");
    }
}

/// Enrols a maintainer whose card identity nobody keeps: for those who sign by hand.
pub fn enrol_maintainer(world: &World, name: &str, key: &SigningKey) {
    world.enrol_maintainer(name, key, &Identity::generate());
}

/// Signs and puts an object that no ledger names.
pub fn put_signed(world: &World, key: &SigningKey, kind: Kind, name: &ObjectName, body: &[u8]) -> ObjectHash {
    let object = sign_object(key, kind, &world.repository().id(), name, body).expect("a signature");
    let store: &Arc<dyn Store> = &world.store;
    assert_eq!(store.create(name, &object).expect("a working store"), Created::New, "{name}");
    ObjectHash::from_bytes(sha256(&object))
}

/// The directory of the project.
#[must_use]
pub fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the project's directory").to_owned()
}

/// Copies directories and files.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Where a tool is installed. Without it nothing here can be shown, so it must be.
fn installed(tool: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).chain(["/usr/bin", "/bin", "/usr/sbin"].map(PathBuf::from));
    let found = known.map(|dir| dir.join(tool)).find(|path| path.is_file());
    found.ok_or_else(|| format!("{tool} is not installed")).expect("a tool that the tests need")
}
