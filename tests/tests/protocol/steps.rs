//! What each step of the model of collection does.

use crate::collection::{Action, Collection, Wording};
use crate::sets::{member, members};
use crate::state::{At, Collector, Doomed, Name, State};

impl<const R: usize> Collection<R> {
    /// A step of a run.
    pub(crate) fn write(&self, state: &mut State<R>, action: Action) -> Option<()> {
        let listed = |seen: u8| At::Listed(if self.wording == Wording::RecordIgnored { 0 } else { seen });
        let made = state.made;
        match action {
            Action::Announce(r) => {
                let run = &mut state.runs[usize::from(r)];
                run.at = if let At::Early(seen) = run.at { At::Listed(seen) } else { At::Announced };
            }
            Action::ListRecords(r) => {
                let run = &mut state.runs[usize::from(r)];
                run.at = if run.at == At::Idle { At::Early(made) } else { listed(made) };
            }
            Action::Rely(r, segment) => {
                let run = &mut state.runs[usize::from(r)];
                (run.at, run.needs) = (At::Chosen, segment);
            }
            Action::Upload(r) => {
                state.packs |= 1 << (1 + r);
                let run = &mut state.runs[usize::from(r)];
                (run.at, run.needs) = (At::Uploaded, 2 + r);
            }
            Action::PutIndex(r) => {
                state.indexes |= 1 << (1 + r);
                state.runs[usize::from(r)].at = At::Chosen;
            }
            Action::Send(r) => {
                let run = &mut state.runs[usize::from(r)];
                (run.at, run.flight) = (At::Sent, run.flight + 1);
            }
            Action::Arrive(r) => {
                let run = &mut state.runs[usize::from(r)];
                run.flight -= 1;
                let free =
                    matches!(run.name, Name::Free | Name::Gone) || self.wording == Wording::NotExclusive;
                if free {
                    run.name = Name::Snapshot;
                }
                if run.at == At::Sent {
                    run.at = if run.name == Name::Snapshot { At::Done } else { At::Fenced };
                }
            }
            Action::LookAgain(r) => {
                let expired = state.told(made, |plan| plan.expired) & (1 << (1 + r)) != 0;
                let run = &mut state.runs[usize::from(r)];
                run.at = match run.name {
                    Name::Snapshot => At::Done,
                    _ if expired => At::Done,
                    Name::Fence => At::Fenced,
                    // It sends again. Whoever gives up stays here for ever.
                    Name::Free | Name::Gone => At::Chosen,
                };
            }
            _ => return None,
        }
        Some(())
    }

    /// A step of a collector.
    pub(crate) fn collect(&self, state: &mut State<R>, action: Action) -> Option<()> {
        let (c, next) = match action {
            Action::Look(c) => (c, Collector::Looked { open: state.open() }),
            Action::Plan(c, plan) => {
                state.plans[usize::from(state.made)] = plan;
                state.made += 1;
                if self.wording != Wording::OpenOfLostRace {
                    for other in &mut state.collectors {
                        // Its number is taken: it begins anew.
                        if matches!(other, Collector::Looked { .. }) {
                            *other = Collector::Idle;
                        }
                    }
                }
                (c, Collector::Idle)
            }
            Action::ListRuns(c, plan, by) => {
                let runs = by.map_or_else(|| state.open(), |later| state.plans[usize::from(later)].open);
                (c, Collector::Waiting { plan, runs })
            }
            Action::Fence(_, r) => {
                let run = &mut state.runs[usize::from(r)];
                (run.name, run.fenced) = (Name::Fence, true);
                return Some(());
            }
            Action::Crash(c) => (c, Collector::Idle),
            Action::ReadRecords(c) => {
                let Collector::Waiting { plan, .. } = state.collectors[usize::from(c)] else { return None };
                let live = state.live(state.made);
                let seen = state.made;
                (
                    c,
                    if self.fine {
                        Collector::Read { plan, seen }
                    } else {
                        Collector::Marked { plan, seen, live }
                    },
                )
            }
            Action::Mark(c) => {
                let Collector::Read { plan, seen } = state.collectors[usize::from(c)] else { return None };
                (c, Collector::Marked { plan, seen, live: state.live(seen) })
            }
            Action::ListPacks(c) => (c, self.list_packs(state, c)?),
            Action::Copy(c) => {
                let Collector::Copying { plan, seen, need, doomed } = state.collectors[usize::from(c)] else {
                    return None;
                };
                let copy = state.copies.iter().position(|copy| *copy == 0)?;
                state.copies[copy] = need;
                state.packs |= 1 << (1 + R + copy);
                let copy = member(copy);
                if self.wording == Wording::CopyUnconfirmed {
                    (c, Collector::Deleting { doomed })
                } else {
                    (c, Collector::Naming { plan, seen, copy, doomed })
                }
            }
            Action::PutCopyIndex(c) => {
                let Collector::Naming { plan, seen, copy, doomed } = state.collectors[usize::from(c)] else {
                    return None;
                };
                state.indexes |= 1 << (1 + R + usize::from(copy));
                (c, Collector::Copied { plan, seen, doomed })
            }
            Action::ListAgain(c) => {
                let Collector::Copied { plan, seen, doomed } = state.collectors[usize::from(c)] else {
                    return None;
                };
                let same = state.made == seen
                    || matches!(
                        self.wording,
                        Wording::NotListedAgain | Wording::UnnamedAreEmptyNotListedAgain
                    );
                (
                    c,
                    if same {
                        Collector::Deleting { doomed }
                    } else {
                        Collector::Read { plan, seen: state.made }
                    },
                )
            }
            Action::DeletePack(c, pack) => {
                state.packs &= !(1 << pack);
                return Self::deleted(state, c, |doomed| doomed.packs &= !(1 << pack));
            }
            Action::DeleteIndex(c, index) => {
                state.indexes &= !(1 << index);
                return Self::deleted(state, c, |doomed| doomed.indexes &= !(1 << index));
            }
            Action::DeleteSnapshot(c, snapshot) => {
                let name = if snapshot == 0 {
                    &mut state.old
                } else {
                    &mut state.runs[usize::from(snapshot) - 1].name
                };
                if *name == Name::Snapshot {
                    *name = Name::Gone;
                }
                return Self::deleted(state, c, |doomed| doomed.snapshots &= !(1 << snapshot));
            }
            Action::Reappear(pack) => {
                state.packs |= 1 << pack;
                state.late = false;
                return Some(());
            }
            _ => return None,
        };
        state.collectors[usize::from(c)] = next;
        Some(())
    }

    fn deleted(state: &mut State<R>, c: u8, strike: impl Fn(&mut Doomed)) -> Option<()> {
        let Collector::Deleting { doomed } = &mut state.collectors[usize::from(c)] else { return None };
        strike(doomed);
        if doomed.packs | doomed.indexes | doomed.snapshots == 0 {
            state.collectors[usize::from(c)] = Collector::Idle;
        }
        Some(())
    }

    fn list_packs(&self, state: &State<R>, c: u8) -> Option<Collector> {
        let Collector::Marked { plan, seen, live } = state.collectors[usize::from(c)] else { return None };
        let own = state.plans[usize::from(plan)];
        let condemned = if self.wording == Wording::OwnRecordOnly {
            own.packs
        } else {
            state.told(seen, |plan| plan.packs)
        };
        let packs = own.packs & state.packs;
        let readable = match self.wording {
            Wording::UnnamedAreEmpty | Wording::UnnamedAreEmptyNotListedAgain => packs & state.indexes,
            _ => packs,
        };
        let held = members(readable).fold(0, |set, pack| set | state.holds(pack)) & live;
        let need = members(held)
            .filter(|segment| self.places(state, *segment) & !condemned == 0)
            .fold(0, |set, segment| set | 1 << segment);
        let void = |index: &u8| {
            let segments = (0..8).filter(|segment| State::<R>::index_of(*segment) == *index);
            let named = segments.fold(state.holds(*index), |set, segment| set | 1 << segment);
            named & live == 0 || self.wording == Wording::IndexNotLookedAtAgain
        };
        let indexes =
            members(own.indexes & state.indexes).filter(void).fold(0, |set, index| set | 1 << index);
        let doomed = Doomed { packs, indexes, snapshots: own.expired & state.snapshots() };
        Some(if packs | doomed.indexes | doomed.snapshots == 0 {
            Collector::Idle
        } else if self.wording == Wording::DeleteBeforeCopy {
            Collector::Deleting { doomed }
        } else if need == 0 {
            Collector::Copied { plan, seen, doomed }
        } else {
            Collector::Copying { plan, seen, need, doomed }
        })
    }
}
