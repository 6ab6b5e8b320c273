//! Owners: how users and groups of the source become users and groups of this host.

use std::collections::{BTreeMap, HashMap};

use uzers::{Groups, Users, UsersCache};

/// The attribute that holds a file's own ACL.
pub(crate) const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The attribute that holds what entries made in a directory inherit.
pub(crate) const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// How owners are mapped. The default keeps numbers as they are: right for a whole machine or a container,
/// whose user database comes back with the data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdMap {
    /// Users to replace, by number. Goes before names.
    pub uids: BTreeMap<u32, u32>,
    /// Groups to replace, by number. Goes before names.
    pub gids: BTreeMap<u32, u32>,
    /// Whether names that this host knows too give the number.
    pub by_name: bool,
}

/// One `FROM:TO` of a mapping.
///
/// # Errors
/// It is not two numbers below 2^32 - 1 (which means "no id") with a colon between.
pub fn parse_mapping(text: &str) -> Result<(u32, u32), BadMapping> {
    let parse = |part: &str| part.parse::<u32>().ok().filter(|id| *id != u32::MAX);
    text.split_once(':')
        .and_then(|(from, to)| parse(from).zip(parse(to)))
        .ok_or_else(|| BadMapping(text.chars().take(40).collect()))
}

/// A text that is no mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a mapping of ids such as 1000:2000: {0:?}")]
pub struct BadMapping(String);

/// An owner as manifests name it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) user: Option<String>,
    pub(crate) group: Option<String>,
}

/// A mapping worked out for all owners of a plan.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    /// User and group of this host for each owner, by its number in the plan.
    pub(crate) owners: Vec<(u32, u32)>,
    uids: HashMap<u32, u32>,
    gids: HashMap<u32, u32>,
}

impl Resolved {
    /// Asks the host's user database once for every name.
    pub(crate) fn new(map: &IdMap, owners: &[Owner]) -> Self {
        let host = UsersCache::new();
        let mut resolved = Self {
            owners: Vec::with_capacity(owners.len()),
            uids: map.uids.iter().map(|(from, to)| (*from, *to)).collect(),
            gids: map.gids.iter().map(|(from, to)| (*from, *to)).collect(),
        };
        for owner in owners {
            let by_name = |name: &Option<String>| name.as_deref().filter(|_| map.by_name).map(str::to_owned);
            // An ACL has numbers only; the names that entries have for the same numbers serve it too.
            let uid = *resolved.uids.entry(owner.uid).or_insert_with(|| {
                by_name(&owner.user)
                    .and_then(|name| host.get_user_by_name(&name))
                    .map_or(owner.uid, |user| user.uid())
            });
            let gid = *resolved.gids.entry(owner.gid).or_insert_with(|| {
                by_name(&owner.group)
                    .and_then(|name| host.get_group_by_name(&name))
                    .map_or(owner.gid, |group| group.gid())
            });
            resolved.owners.push((uid, gid));
        }
        resolved
    }

    /// A POSIX ACL in its binary form (version 2) with its ids mapped. What is not of that form stays as it is;
    /// the kernel judges it.
    pub(crate) fn map_acl(&self, acl: &mut [u8]) {
        const HEADER: usize = 4;
        const VERSION: [u8; HEADER] = [2, 0, 0, 0];
        const USER: u16 = 0x02;
        const GROUP: u16 = 0x08;
        let Some((VERSION, entries)) = acl.split_first_chunk_mut::<HEADER>().map(|(h, rest)| (*h, rest))
        else {
            return;
        };
        for entry in entries.chunks_exact_mut(8) {
            // Tag and permissions, 16 bits each, then the id, 32 bits, all little-endian.
            let [tag_low, tag_high, _, _, id @ ..] = entry else { continue };
            let Ok(id) = <&mut [u8; 4]>::try_from(id) else { continue };
            let map = match u16::from_le_bytes([*tag_low, *tag_high]) {
                USER => &self.uids,
                GROUP => &self.gids,
                _ => continue,
            };
            if let Some(mapped) = map.get(&u32::from_le_bytes(*id)) {
                *id = mapped.to_le_bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(uid: u32, user: Option<&str>) -> Owner {
        Owner { uid, gid: uid, user: user.map(str::to_owned), group: None }
    }

    #[test]
    fn mappings_are_two_numbers() {
        assert_eq!(parse_mapping("1000:2000"), Ok((1000, 2000)));
        for bad in ["", "1000", "a:b", "1:4294967295", "1:2:3", "-1:2"] {
            assert!(parse_mapping(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_go_before_names() {
        let owners = [owner(4711, Some("root")), owner(4712, Some("no such user here")), owner(4713, None)];
        let numeric = Resolved::new(&IdMap::default(), &owners);
        assert_eq!(numeric.owners, [(4711, 4711), (4712, 4712), (4713, 4713)]);
        let mut map = IdMap { by_name: true, ..IdMap::default() };
        assert_eq!(Resolved::new(&map, &owners).owners, [(0, 4711), (4712, 4712), (4713, 4713)]);
        map.uids.insert(4711, 9);
        map.gids.insert(4713, 8);
        assert_eq!(Resolved::new(&map, &owners).owners, [(9, 4711), (4712, 4712), (4713, 8)]);
    }

    #[test]
    fn ids_within_acls_are_mapped() {
        // As setfacl -m u:1000:rwx,g:1000:r-x stores it.
        let entry = |tag: u16, perm: u16, id: u32| {
            [tag.to_le_bytes().as_slice(), &perm.to_le_bytes(), &id.to_le_bytes()].concat()
        };
        let acl = |user: u32, group: u32| {
            [
                vec![2, 0, 0, 0],
                entry(0x01, 6, u32::MAX),
                entry(0x02, 7, user),
                entry(0x04, 4, u32::MAX),
                entry(0x08, 5, group),
                entry(0x10, 7, u32::MAX),
                entry(0x20, 0, u32::MAX),
            ]
            .concat()
        };
        let map = IdMap { uids: [(1000, 2000)].into(), gids: [(1000, 3000)].into(), by_name: false };
        let resolved = Resolved::new(&map, &[]);
        let mut mapped = acl(1000, 1000);
        resolved.map_acl(&mut mapped);
        assert_eq!(mapped, acl(2000, 3000));
        let mut other = acl(1, 2);
        resolved.map_acl(&mut other);
        assert_eq!(other, acl(1, 2));
        // Neither a stranger's version nor a cut one is touched beyond whole entries.
        for strange in [vec![], vec![2, 0], [vec![3, 0, 0, 0], entry(0x02, 7, 1000)].concat()] {
            let mut same = strange.clone();
            resolved.map_acl(&mut same);
            assert_eq!(same, strange);
        }
    }
}
