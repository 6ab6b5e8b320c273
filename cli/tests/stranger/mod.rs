//! Whoever gets evidence and has nothing of ours.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Follows VERIFY.md as a stranger would: with ssh-keygen, sha256sum, jq, a shell, and the fingerprint from paper.
pub(crate) fn stranger(evidence: &Path, fingerprint: &str) -> (bool, String) {
    let text = fs::read_to_string(evidence.join("VERIFY.md")).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let tools = tempfile::tempdir().unwrap();
    for tool in ["ssh-keygen", "sha256sum", "jq"] {
        symlink(Path::new("/usr/bin").join(tool), tools.path().join(tool)).unwrap();
    }
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euc", &blocks.collect::<String>()]).current_dir(evidence).env_clear();
    let output = shell.env("PATH", tools.path()).env("FINGERPRINT", fingerprint).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
