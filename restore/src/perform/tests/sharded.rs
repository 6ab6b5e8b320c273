//! What shards leave to whoever finishes, and what somebody does to the target meanwhile.

use std::os::unix::fs::symlink as link_to;

use super::*;

fn shard_of(world: &World, plan: Plan, text: &str, target: &Path) -> Report {
    restored(world, &plan.into_shard(text.parse().unwrap()), target)
}

#[test]
fn a_file_that_lost_a_part_is_left_to_whoever_finishes() {
    let world = World::new();
    let snapshot = world.back_up(&[("_system", vec![dir("."), file("f", &[b"one", b"two", b"three"])])], 1);
    let plan = || planned(&world, &snapshot, &Selection::default());
    for (healed, status, content) in
        [(false, Status::Partial, "onetwo\0\0\0\0\0"), (true, Status::Complete, "onetwothree")]
    {
        let ground = Ground::new();
        let (pack, whole) = spoil_last(&world, &plan());
        let report = shard_of(&world, plan(), "1/1", &ground.target());
        assert_eq!((report.status(), report.losses[0].kind), (Status::Partial, LossKind::Damaged));
        assert!(!ground.target().join("f").exists(), "zeros in the place of content would be taken for it");
        if healed {
            world.store.replace(&pack, &whole);
        }
        let report = restored(&world, &plan().into_finish(1), &ground.target());
        world.store.replace(&pack, &whole);
        assert_eq!((report.status(), report.files), (status, 1));
        assert_eq!(fs::read_to_string(ground.target().join("f")).unwrap(), content);
        assert_eq!(fs::read_dir(ground.target()).unwrap().count(), 1);
    }
}

#[test]
fn a_link_where_another_shard_made_a_directory_leads_nowhere() {
    let world = World::new();
    let entries = vec![dir("."), dir("d"), file("d/one", &[b"one"]), file("d/two", &[b"two"])];
    let snapshot = world.back_up(&[("_system", entries)], 1);
    let plan = || planned(&world, &snapshot, &Selection::default());
    let ground = Ground::new();
    shard_of(&world, plan(), "1/2", &ground.target());
    fs::remove_dir_all(ground.target().join("d")).unwrap();
    link_to(ground.outside(), ground.target().join("d")).unwrap();
    let report = shard_of(&world, plan(), "2/2", &ground.target());
    assert_eq!((report.status(), report.files), (Status::Partial, 0), "{report:?}");
    ground.assert_outside_untouched();
    let report = restored(&world, &plan().into_finish(2), &ground.target());
    assert_eq!((report.status(), report.files), (Status::Complete, 2), "{report:?}");
    assert_eq!(fs::read(ground.target().join("d/two")).unwrap(), b"two");
    ground.assert_outside_untouched();
}
