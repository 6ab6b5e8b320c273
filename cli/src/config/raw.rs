//! The shape of `lifeboat.toml`. Unknown fields are mistakes: a misspelt objective must not pass for none.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) host: Option<RawHost>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) metrics: RawMetrics,
    pub(super) ping: Option<RawPing>,
    #[serde(default)]
    pub(super) policy: RawPolicy,
    #[serde(default)]
    pub(super) gc: RawGc,
    #[serde(default)]
    pub(super) regions: BTreeMap<Spanned<String>, RawRegion>,
    #[serde(default)]
    pub(super) components: BTreeMap<Spanned<String>, RawComponent>,
    #[serde(default)]
    pub(super) references: BTreeMap<Spanned<String>, RawReference>,
    #[serde(default)]
    pub(super) recovery: RawRecovery,
    #[serde(default)]
    pub(super) tenants: BTreeMap<Spanned<String>, RawTenant>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHost {
    pub(super) writer: Spanned<String>,
    pub(super) signing_key: Spanned<String>,
    pub(super) card_identity: Spanned<String>,
    pub(super) state: Spanned<String>,
    #[serde(default)]
    pub(super) state_in_repository: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegion {
    pub(super) jurisdiction: Spanned<String>,
    pub(super) repository: Spanned<String>,
    pub(super) s3: Option<Spanned<RawS3>>,
    pub(super) replica: Option<Spanned<String>>,
    pub(super) replica_s3: Option<Spanned<RawS3>>,
    pub(super) replica_jurisdiction: Option<Spanned<String>>,
    pub(super) witness: Option<Spanned<String>>,
    pub(super) witness_s3: Option<Spanned<RawS3>>,
    pub(super) witness_command: Option<Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    pub(super) officers: Vec<Spanned<String>>,
    pub(super) rto_target: Option<Spanned<String>>,
    pub(super) rto_limit: Option<Spanned<String>>,
    pub(super) rto_setup: Option<Spanned<String>>,
    pub(super) rto_cutover: Option<Spanned<String>>,
}

/// How a bucket is reached.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawS3 {
    pub(super) endpoint: Option<Spanned<String>>,
    pub(super) region: Option<Spanned<String>>,
    pub(super) path_style: Option<bool>,
    pub(super) profile: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<String>>,
    pub(super) allow_private: Option<bool>,
    pub(super) allow_http: Option<bool>,
    pub(super) storage_class: Option<Spanned<String>>,
    pub(super) lock: Option<Spanned<String>>,
    pub(super) lock_short: Option<Spanned<String>>,
    pub(super) lock_floor: Option<Spanned<String>>,
    pub(super) lock_profile: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawComponent {
    pub(super) region: Spanned<String>,
    pub(super) path: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) exclude: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) exclude_if_present: Vec<Spanned<String>>,
    pub(super) cachedir_tag: Option<Spanned<bool>>,
    pub(super) one_filesystem: Option<Spanned<bool>>,
    pub(super) command: Option<Spanned<Vec<Spanned<String>>>>,
    pub(super) stream_name: Option<Spanned<String>>,
    pub(super) tenant: Option<Spanned<String>>,
    pub(super) directory: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) env: BTreeMap<Spanned<String>, Spanned<String>>,
    pub(super) user: Option<Spanned<String>>,
    pub(super) timeout: Option<Spanned<String>>,
    pub(super) allow_empty: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) hooks: RawHooks,
    pub(super) rewrite_below: Option<Spanned<String>>,
    pub(super) rewrite_at_most: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) tenants: Vec<Spanned<String>>,
    #[serde(default)]
    pub(super) not_tenants: Vec<Spanned<String>>,
    pub(super) system: Option<Spanned<String>>,
    pub(super) personal: Option<Spanned<bool>>,
    pub(super) lock: Option<Spanned<String>>,
    pub(super) keep: Option<Spanned<RawKeep>>,
    pub(super) forget_within: Option<Spanned<String>>,
    pub(super) rpo: Option<Spanned<String>>,
    pub(super) rto_target: Option<Spanned<String>>,
    pub(super) rto_limit: Option<Spanned<String>>,
    pub(super) rto_setup: Option<Spanned<String>>,
    pub(super) rto_cutover: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) needs: Vec<Spanned<String>>,
    pub(super) ping: Option<Spanned<String>>,
    pub(super) heartbeat: Option<Spanned<RawHeartbeat>>,
    pub(super) rto_replay: Option<Spanned<String>>,
    pub(super) rto_checks: Option<Spanned<String>>,
    pub(super) rto_shards: Option<Spanned<i64>>,
}

/// Records that say what a copy lost.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHeartbeat {
    pub(super) file: Option<Spanned<String>>,
    pub(super) tenants: Option<Spanned<i64>>,
    pub(super) write: Option<Spanned<RawHook>>,
    pub(super) count: Option<Spanned<RawHook>>,
    pub(super) count_every: Option<Spanned<String>>,
}

/// A check of what components say of one another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(feature = "recover"),
    expect(dead_code, reason = "an agent restores nothing, yet reads the same file")
)]
pub(super) struct RawReference {
    pub(super) components: Vec<Spanned<String>>,
    pub(super) run: Spanned<RawHook>,
}

/// With whom and how everything is brought back.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(feature = "recover"),
    expect(dead_code, reason = "an agent restores nothing, yet reads the same file")
)]
pub(super) struct RawRecovery {
    pub(super) workers: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) retrieval: BTreeMap<Spanned<String>, RawRetrieval>,
}

/// How long objects of a storage class are waited for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(feature = "recover"),
    expect(dead_code, reason = "an agent restores nothing, yet reads the same file")
)]
pub(super) struct RawRetrieval {
    pub(super) wait: Spanned<String>,
    pub(super) source: Spanned<String>,
}

/// Who reads how it went.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetrics {
    pub(super) textfile: Option<Spanned<String>>,
}

/// Who waits to hear that it went well.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPing {
    pub(super) url: Option<Spanned<String>>,
    pub(super) verbs: Option<Vec<Spanned<String>>>,
    pub(super) start: Option<Spanned<String>>,
    pub(super) success: Option<Spanned<String>>,
    pub(super) failure: Option<Spanned<String>>,
    pub(super) ca_file: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) allow_private: bool,
    #[serde(default)]
    pub(super) allow_http: bool,
}

/// Which snapshots are kept.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKeep {
    pub(super) last: Option<Spanned<i64>>,
    pub(super) hourly: Option<Spanned<i64>>,
    pub(super) daily: Option<Spanned<i64>>,
    pub(super) weekly: Option<Spanned<i64>>,
    pub(super) monthly: Option<Spanned<i64>>,
    pub(super) yearly: Option<Spanned<i64>>,
    pub(super) within: Option<Spanned<String>>,
    pub(super) minimum_age: Option<Spanned<String>>,
    pub(super) tz: Option<Spanned<String>>,
}

/// What is to be done with a tenant's data.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTenant {
    pub(super) keep: Spanned<String>,
}

/// What was promised.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPolicy {
    pub(super) forget_within: Option<Spanned<String>>,
    pub(super) every: Option<Spanned<String>>,
}

/// Programs around a backup.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHooks {
    #[serde(default)]
    pub(super) before: Vec<Spanned<RawHook>>,
    #[serde(default)]
    pub(super) after: Vec<Spanned<RawHook>>,
    #[serde(default)]
    pub(super) on_failure: Vec<Spanned<RawHook>>,
}

/// A line for the shell, or a table with more to say. What may be either is pointed at as a whole.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a hook is a line for the shell, or { run = \"…\", timeout = \"5m\", user = \"…\" }"
)]
pub(super) enum RawHook {
    Line(String),
    Table(RawHookTable),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHookTable {
    pub(super) run: String,
    pub(super) timeout: Option<String>,
    pub(super) user: Option<String>,
}

/// What this host may use.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) bandwidth: Option<Spanned<String>>,
    pub(super) memory: Option<Spanned<String>>,
    pub(super) threads: Option<Spanned<i64>>,
    pub(super) nice: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) schedule: Vec<RawWindow>,
}

/// Hours with a bandwidth of their own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindow {
    pub(super) hours: Spanned<String>,
    pub(super) bandwidth: Spanned<String>,
    pub(super) tz: Option<Spanned<String>>,
}

/// When and how much is collected.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    not(feature = "recover"),
    expect(dead_code, reason = "an agent does not collect, yet reads the same file")
)]
pub(super) struct RawGc {
    pub(super) pack_age: Option<Spanned<String>>,
    pub(super) plan_age: Option<Spanned<String>>,
    pub(super) run_age: Option<Spanned<String>>,
    pub(super) dead_share: Option<Spanned<i64>>,
    pub(super) copy: Option<Spanned<String>>,
}
