use std::collections::BTreeSet;

use super::*;

/// Numbers that look random and are the same every time (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

fn hours(n: u64) -> Duration {
    Duration::from_secs(n * 3600)
}

fn part(name: &str, needs: &[&str], time: Duration) -> Part {
    Part {
        name: name.parse().unwrap(),
        needs: needs.iter().map(|name| name.parse().unwrap()).collect(),
        before: Duration::ZERO,
        transfer: time,
        shards: NonZeroU32::MIN,
        after: Duration::ZERO,
        pool: None,
    }
}

/// An estate of so many parts of one task each; each needs some of those before it.
fn random(numbers: &mut Numbers, parts: u64) -> Estate {
    let mut estate = Estate::default();
    for n in 0..parts {
        let needs: Vec<String> =
            (0..n).filter(|_| numbers.below(4) == 0).map(|needed| format!("c{needed}")).collect();
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        estate.parts.push(part(&format!("c{n}"), &needs, Duration::from_secs(1 + numbers.below(9))));
    }
    estate
}

fn workers(n: u64) -> NonZeroU32 {
    NonZeroU32::new(u32::try_from(n).unwrap()).unwrap()
}

/// Whatever a schedule claims must be so: nothing begins before what it needs, no worker does two things, no pool overflows.
fn assert_holds(estate: &Estate, schedule: &Schedule) {
    let ends = |name: &Label| {
        schedule.tasks.iter().filter(|task| task.part == *name).map(|task| task.end).max().unwrap_or_default()
    };
    let starts = |name: &Label| {
        schedule.tasks.iter().filter(|task| task.part == *name).map(|task| task.start).min().unwrap()
    };
    for part in &estate.parts {
        for needed in &part.needs {
            assert!(starts(&part.name) >= ends(needed), "{} begins before {needed} is back", part.name);
        }
        let spent: Duration = schedule
            .tasks
            .iter()
            .filter(|task| task.part == part.name)
            .map(|task| task.end - task.start)
            .sum();
        let whole = part.before + part.transfer + part.after;
        assert!(whole.abs_diff(spent) < Duration::from_micros(10), "{}: {spent:?} of {whole:?}", part.name);
    }
    for (at, one) in schedule.tasks.iter().enumerate() {
        assert!(one.worker < schedule.workers);
        for other in &schedule.tasks[..at] {
            let overlap = one.start < other.end && other.start < one.end;
            assert!(!overlap || one.worker != other.worker, "{one:?} and {other:?}");
        }
        for (pool, capacity) in &estate.pools {
            let of_pool = |task: &&Placed| {
                estate.parts.iter().any(|part| part.name == task.part && part.pool.as_ref() == Some(pool))
            };
            let at_once = schedule
                .tasks
                .iter()
                .filter(of_pool)
                .filter(|o| o.start <= one.start && one.start < o.end)
                .count();
            assert!(at_once <= capacity.get() as usize, "{pool} at {:?}", one.start);
        }
    }
    assert_eq!(schedule.makespan, schedule.tasks.iter().map(|task| task.end).max().unwrap_or_default());
    assert!(schedule.makespan >= schedule.bound);
}

/// The shortest time by another way: second by second, any subset of what can begin begins, waiting included.
fn shortest(estate: &Estate, workers: usize) -> u64 {
    type State = (BTreeSet<usize>, Vec<(usize, u64)>);
    let times: Vec<u64> = estate.parts.iter().map(|part| part.transfer.as_secs()).collect();
    let needs: Vec<Vec<usize>> = estate
        .parts
        .iter()
        .map(|part| part.needs.iter().map(|name| position(estate, name).unwrap()).collect())
        .collect();
    let mut now: BTreeSet<State> = BTreeSet::from([(BTreeSet::new(), Vec::new())]);
    let mut second = 0;
    loop {
        let mut next = BTreeSet::new();
        for (over, running) in &now {
            if over.len() == times.len() {
                return second;
            }
            let can: Vec<usize> = (0..times.len())
                .filter(|at| !over.contains(at) && running.iter().all(|(task, _)| task != at))
                .filter(|at| needs[*at].iter().all(|needed| over.contains(needed)))
                .collect();
            for chosen in 0_u32..1 << can.len() {
                let begun = can
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| chosen >> bit & 1 == 1)
                    .map(|(_, at)| (*at, times[*at]));
                let mut running: Vec<(usize, u64)> = running.iter().copied().chain(begun).collect();
                if running.len() > workers {
                    continue;
                }
                let mut over = over.clone();
                for (task, left) in &mut running {
                    *left -= 1;
                    if *left == 0 {
                        over.insert(*task);
                    }
                }
                running.retain(|(_, left)| *left > 0);
                running.sort_unstable();
                next.insert((over, running));
            }
        }
        now = next;
        second += 1;
    }
}

#[test]
fn a_thousand_estates_take_no_more_than_twice_the_least_there_can_be() {
    let mut numbers = Numbers(1);
    let (mut worst, mut exact) = (1.0_f64, 0);
    for _ in 0..1000 {
        let parts = 1 + numbers.below(40);
        let estate = random(&mut numbers, parts);
        let schedule = schedule(&estate, workers(1 + numbers.below(8))).unwrap();
        assert_holds(&estate, &schedule);
        assert!(schedule.makespan <= schedule.bound * 2, "{schedule:?}");
        worst = worst.max(schedule.makespan.as_secs_f64() / schedule.bound.as_secs_f64());
        exact += usize::from(schedule.makespan == schedule.bound);
    }
    println!("1,000 estates: at the bound {exact}, worst {worst:.2} times the bound");
}

#[test]
fn few_components_are_scheduled_as_well_as_can_be() {
    let mut numbers = Numbers(2);
    let mut better = 0;
    for _ in 0..150 {
        let parts = 1 + numbers.below(EXACT_MAX as u64);
        let mut estate = random(&mut numbers, parts);
        for part in &mut estate.parts {
            part.transfer = Duration::from_secs(1 + numbers.below(5));
        }
        let count = 1 + numbers.below(3);
        let found = schedule(&estate, workers(count)).unwrap();
        assert_holds(&estate, &found);
        assert!(found.shortest);
        let least = shortest(&estate, usize::try_from(count).unwrap());
        assert_eq!(found.makespan, Duration::from_secs(least), "{estate:?} on {count}");
        better += usize::from(found.makespan > found.bound);
    }
    assert!(better > 0, "all of them were at the bound, which needs no search");
}

/// Forty components with 500 TB: what a region of some size has.
fn large() -> Estate {
    let mut numbers = Numbers(3);
    let mut estate = Estate::default();
    let sizes: Vec<u64> = (0..40).map(|_| 1 + numbers.below(12)).map(|n| n * n).collect();
    let sum: u64 = sizes.iter().sum();
    for (n, size) in (0_u64..).zip(&sizes) {
        let needs: Vec<String> = match n {
            0 => Vec::new(),
            1..8 => vec!["c0".into()],
            _ => vec![format!("c{}", 1 + numbers.below(7))],
        };
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        // A worker restores 150 MB a second.
        let bytes = 500e12 * *size as f64 / sum as f64;
        let mut part = part(&format!("c{n}"), &needs, Duration::from_secs_f64(bytes / 150e6));
        (part.before, part.after) = (Duration::from_secs(1200), Duration::from_secs(1800));
        part.shards = workers(64);
        estate.parts.push(part);
    }
    estate
}

#[test]
fn a_large_estate_has_a_time_at_twenty_workers_and_a_number_of_workers_for_a_day() {
    let estate = large();
    let twenty = schedule(&estate, workers(20)).unwrap();
    assert_holds(&estate, &twenty);
    assert!(twenty.makespan <= twenty.bound * 2);
    let enough = workers_for(&estate, hours(24)).unwrap().unwrap();
    assert_holds(&estate, &enough);
    assert!(enough.makespan <= hours(24));
    let fewer = schedule(&estate, workers(u64::from(enough.workers) - 1)).unwrap();
    assert!(fewer.makespan > hours(24), "one worker fewer would do");
    println!(
        "40 components, 500 TB: {} at 20 workers (least possible {}); {} workers for 24 h ({}), critical: {:?}",
        span::show(twenty.makespan),
        span::show(twenty.bound),
        enough.workers,
        span::show(enough.makespan),
        enough.critical.iter().map(Label::as_str).collect::<Vec<_>>(),
    );
    // However many there are: what cannot be divided stays.
    assert_eq!(workers_for(&estate, Duration::from_secs(3000)).unwrap(), None);
}

#[test]
fn a_divided_transfer_is_faster_and_a_pool_holds_it_back() {
    let mut one = part("files", &[], hours(8));
    one.after = hours(1);
    let mut estate = Estate { parts: vec![one], pools: BTreeMap::new() };
    let time = |estate: &Estate| {
        let found = schedule(estate, workers(4)).unwrap();
        assert_holds(estate, &found);
        found.makespan
    };
    assert_eq!(time(&estate), hours(9));
    estate.parts[0].shards = workers(4);
    assert_eq!(time(&estate), hours(3));
    estate.parts[0].pool = Some("line".into());
    estate.pools.insert("line".into(), workers(2));
    assert_eq!(time(&estate), hours(5));
    estate.pools.clear();
    let error = schedule(&estate, workers(4)).unwrap_err();
    assert_eq!(error, EstateError::Pool { part: "files".parse().unwrap(), pool: "line".into() });
}

#[test]
fn the_critical_path_is_where_less_time_helps() {
    let parts = vec![
        part("identity", &[], hours(1)),
        part("chats", &["identity"], hours(5)),
        part("search", &["chats"], hours(2)),
        part("files", &["identity"], hours(6)),
    ];
    let found = schedule(&Estate { parts, pools: BTreeMap::new() }, workers(2)).unwrap();
    let critical: Vec<&str> = found.critical.iter().map(Label::as_str).collect();
    assert_eq!(critical, ["identity", "chats", "search"]);
    assert_eq!((found.critical_path, found.makespan, found.work), (hours(8), hours(8), hours(14)));
}

#[test]
fn estates_that_cannot_be_are_refused() {
    let label = |name: &str| name.parse::<Label>().unwrap();
    let of = |parts: Vec<Part>| schedule(&Estate { parts, pools: BTreeMap::new() }, workers(1)).unwrap_err();
    let a = || part("a", &["b"], hours(1));
    assert_eq!(of(vec![a()]), EstateError::Dangling { part: label("a"), needs: label("b") });
    assert_eq!(of(vec![part("a", &[], hours(1)), part("a", &[], hours(1))]), EstateError::Twice(label("a")));
    let ring =
        vec![part("z", &["a"], hours(1)), a(), part("b", &["c"], hours(1)), part("c", &["b"], hours(1))];
    assert!(matches!(of(ring), EstateError::Ring(name) if ["b", "c"].contains(&name.as_str())));
    assert_eq!(schedule(&Estate::default(), workers(3)).unwrap().makespan, Duration::ZERO);
}
