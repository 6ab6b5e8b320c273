//! Evidence: a signed statement of what was done, measured and found, that a stranger can check.
//!
//! One directory for each drill, verification or erasure:
//!
//! | file                            | is                                                                  |
//! | ------------------------------- | ------------------------------------------------------------------- |
//! | `evidence.json`                 | the [`Facts`](facts::Facts): all there is to say                    |
//! | `report.html`                   | the same for people                                                 |
//! | `oscal-assessment-results.json` | the same for auditors' programs                                     |
//! | `timeline.csv`                  | the same for spreadsheets                                           |
//! | `VERIFY.md`                     | how a stranger checks it with ssh-keygen, sha256sum and jq          |
//! | `allowed_signers`               | the signer's public key, in ssh-keygen's form                       |
//! | `<region>.…`                    | the newest trust and ledger entries of every repository it speaks of |
//! | `SHA256SUMS`, `SHA256SUMS.sig`  | the hash of every other file, and the signature over these hashes   |
//!
//! What is shown is a pure function of the facts ([`derived`]), so [`check`](check::check) makes it again and compares.

pub mod check;
pub mod controls;
pub mod directory;
pub mod error;
pub mod expiry;
pub mod extract;
pub mod facts;
pub mod readiness;

mod derived;
mod erased;
mod instructions;
mod ledgers;
mod oscal;
mod plain;
mod report;
mod run;
mod signing;
mod timeline;
mod verified;

pub use check::{Checked, Problem, Reason, Vouch, check};
pub use derived::{canonical, derived};
pub use directory::{Attachment, Reserved, Signer, reserve, write, write_unsigned};
pub use erased::{Erased, erased};
pub use error::{EvidenceError, EvidenceErrorKind};
pub use expiry::{Current, Expired, expired};
pub use extract::{extract, tombstone};
pub use run::Run;
pub use signing::sign;
pub use verified::{Looked, ObjectiveSaid, look, verified};

#[cfg(test)]
mod tests;
