//! What tests of the program put into an empty directory.

use std::fs;
use std::path::Path;

/// The data that the first configuration is about, of two tenants.
pub(crate) fn two_tenants(at: &Path) {
    for tenant in ["acme", "globex"] {
        let uploads = at.join("data/chats/uploads").join(tenant);
        fs::create_dir_all(&uploads).unwrap();
        fs::write(uploads.join("hello.txt"), format!("hello {tenant}")).unwrap();
    }
}
