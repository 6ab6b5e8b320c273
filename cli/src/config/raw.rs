//! The shape of `lifeboat.toml`. Unknown fields are mistakes: a misspelt objective must not pass for none.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) host: Option<RawHost>,
    #[serde(default)]
    pub(super) regions: BTreeMap<Spanned<String>, RawRegion>,
    #[serde(default)]
    pub(super) components: BTreeMap<Spanned<String>, RawComponent>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHost {
    pub(super) writer: Spanned<String>,
    pub(super) signing_key: Spanned<String>,
    pub(super) card_identity: Spanned<String>,
    pub(super) state: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegion {
    pub(super) jurisdiction: Spanned<String>,
    pub(super) repository: Spanned<String>,
    #[serde(default)]
    pub(super) officers: Vec<Spanned<String>>,
    pub(super) rto_target: Option<Spanned<String>>,
    pub(super) rto_limit: Option<Spanned<String>>,
    pub(super) rto_setup: Option<Spanned<String>>,
    pub(super) rto_cutover: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawComponent {
    pub(super) region: Spanned<String>,
    pub(super) path: Spanned<String>,
    #[serde(default)]
    pub(super) tenants: Vec<Spanned<String>>,
    pub(super) system: Option<Spanned<String>>,
    pub(super) rpo: Option<Spanned<String>>,
    pub(super) rto_target: Option<Spanned<String>>,
    pub(super) rto_limit: Option<Spanned<String>>,
    pub(super) rto_setup: Option<Spanned<String>>,
    pub(super) rto_cutover: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) needs: Vec<Spanned<String>>,
}
