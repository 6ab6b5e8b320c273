//! Small sets, one bit each: states stay small, and there are millions of them.

/// A set of up to eight things.
pub(crate) type Set = u8;

/// The members of a set.
pub(crate) fn members(set: Set) -> impl Iterator<Item = u8> {
    (0..8).filter(move |member| has(set, *member))
}

/// Whether a set has a member.
pub(crate) fn has(set: Set, member: u8) -> bool {
    set >> member & 1 == 1
}

/// The set of these.
pub(crate) fn set_of(members: impl IntoIterator<Item = u8>) -> Set {
    members.into_iter().fold(0, |set, member| set | 1 << member)
}

/// Every part of a set, itself and nothing included.
pub(crate) fn parts(set: Set) -> impl Iterator<Item = Set> {
    (0..=set).filter(move |part| part & !set == 0)
}

/// A number as a member; none here is larger than a few.
pub(crate) fn member(number: usize) -> u8 {
    u8::try_from(number).unwrap()
}
