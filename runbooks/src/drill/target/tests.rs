use super::*;
use std::os::unix::fs::symlink;

fn source(path: &Path) -> Source {
    Source { what: "the tree of chats".into(), path: path.to_owned() }
}

#[test]
fn a_target_is_claimed_and_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("target");
    let target = Target::claim(&place, &[source(&dir.path().join("data"))], "drill-1").unwrap();
    assert!(target.made && target.work().is_dir() && !target.restored().exists());
    assert!(target.reclaim(&[], "drill-1").is_ok());
    let taken = Target::claim(&place, &[], "drill-2");
    assert!(matches!(&taken, Err(TargetError::Taken { id, .. }) if id == "drill-1"), "{taken:?}");
    assert!(matches!(target.reclaim(&[], "drill-2"), Err(TargetError::NotOurs { .. })));
    fs::create_dir_all(target.restored().join("chats/locked")).unwrap();
    fs::set_permissions(target.restored().join("chats/locked"), fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(target.clean("drill-2").removed, Vec::<String>::new());
    let done = target.clean("drill-1");
    assert!(done.left.is_empty() && !place.exists(), "{done:?}");
    // One that was there stays, empty.
    fs::create_dir(&place).unwrap();
    let target = Target::claim(&place, &[], "drill-1").unwrap();
    fs::write(place.join("stray"), "").unwrap();
    assert_eq!(target.clean("drill-1").left.len(), 1);
    fs::remove_file(place.join("stray")).unwrap();
    assert!(target.clean("drill-1").left.is_empty() && place.exists());
    // Whoever was cut off after that cleans again, and nothing of what came there since is removed.
    assert_eq!(target.clean("drill-1"), Cleanup::default());
    fs::create_dir(target.restored()).unwrap();
    assert_eq!(target.clean("drill-1").left.len(), 1);
    assert!(target.restored().exists());
    fs::remove_dir_all(&place).unwrap();
    assert_eq!(target.clean("drill-1"), Cleanup::default());
}

#[test]
fn what_is_or_may_be_a_source_is_refused_by_whatever_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("host/data/chats")).unwrap();
    fs::create_dir_all(at("other")).unwrap();
    symlink(at("host/data"), at("link")).unwrap();
    symlink(at("nowhere"), at("dangling")).unwrap();
    let sources = [source(&at("host/data/chats"))];
    for bad in [
        "host/data/chats",
        "host/data/chats/new",
        "host/data",
        "host",
        "link/chats",
        "link",
        "other/../link/chats/x",
    ] {
        let refused = Target::claim(&at(bad), &sources, "x");
        assert!(matches!(refused, Err(TargetError::IsSource { .. })), "{bad}: {refused:?}");
    }
    assert!(matches!(Target::claim(&at("dangling"), &sources, "x"), Err(TargetError::Io { .. })));
    assert!(matches!(Target::claim(&at("no/parent"), &sources, "x"), Err(TargetError::Io { .. })));
    fs::write(at("other/full"), "").unwrap();
    assert!(matches!(Target::claim(&at("other"), &sources, "x"), Err(TargetError::NotEmpty { .. })));
    // A source that is lost keeps its path.
    fs::remove_dir_all(at("host")).unwrap();
    fs::create_dir_all(at("host/data")).unwrap();
    assert!(matches!(
        Target::claim(&at("host/data/chats"), &sources, "x"),
        Err(TargetError::IsSource { .. })
    ));
    assert!(fs::read_dir(at("host/data")).unwrap().next().is_none(), "and nothing is written");
}

#[test]
fn a_repository_is_known_by_what_lies_in_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("mnt/trust")).unwrap();
    fs::write(dir.path().join("mnt/trust/00000000"), "-----END SSH SIGNATURE-----\n# {}\n").unwrap();
    let refused = Target::claim(&dir.path().join("mnt/scratch"), &[], "x");
    assert!(matches!(refused, Err(TargetError::IsRepository { .. })), "{refused:?}");
}
