//! What differs between two entries of one path, content and large attributes left to whoever can read them.

use lifeboat_repo::format::manifest::{Entry, EntryKind};

use super::{Aspect, plain_kind};

/// What differs besides content and attributes, in the order of [`Aspect`].
pub(crate) fn changes(a: &Entry, b: &Entry) -> Vec<Aspect> {
    if plain_kind(a.kind) != plain_kind(b.kind) {
        return vec![Aspect::Type];
    }
    let (m, n) = (&a.metadata, &b.metadata);
    // A symbolic link's own mode means nothing, and no restore can set it.
    let mode = a.kind != EntryKind::Symlink && (m.mode ^ n.mode) & 0o7777 != 0;
    let differs = [
        (mode, Aspect::Mode),
        ((m.uid, m.gid) != (n.uid, n.gid), Aspect::Owner),
        (m.mtime != n.mtime, Aspect::Mtime),
        (a.tail.target != b.tail.target, Aspect::Target),
        (a.tail.link != b.tail.link, Aspect::Link),
        (a.tail.device != b.tail.device, Aspect::Device),
    ];
    differs.into_iter().filter(|(differs, _)| *differs).map(|(_, aspect)| aspect).collect()
}
