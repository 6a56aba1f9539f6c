//! Every part is done once, whoever does it, and whatever happens to the helpers.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// Nothing here takes long; what does hangs, and the test says so.
const HANGING: Duration = Duration::from_mins(1);
const HEAVY: usize = usize::MAX;
const FAR: Ahead = Ahead { each: HEAVY, all: HEAVY };

fn lent(helpers: usize) -> Team {
    let mut team = Team::of(Arc::new(Crew::new(helpers, 0)));
    team.lend(helpers);
    team
}

/// Shares work until helpers have had a part in it.
fn until_helped(team: &mut Team, work: impl Fn(usize) + Sync) {
    let owner = thread::current().id();
    let (helped, started) = (AtomicBool::new(false), Instant::now());
    while !helped.load(Ordering::Relaxed) {
        assert!(started.elapsed() < HANGING, "no helper ever comes");
        team.call(|| FAR);
        team.share(Load { parts: 64, products: HEAVY }, &mut [], |parts, _| {
            for part in parts {
                if thread::current().id() != owner {
                    helped.store(true, Ordering::Relaxed);
                    work(part);
                }
                thread::yield_now();
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_part_is_done_once_however_many_help_and_however_long_parts_take(
        helpers in 0_usize..5,
        works in prop::collection::vec((0_usize..40, 0_usize..300, 0_usize..6, any::<bool>()), 1..60),
    ) {
        let mut team = lent(helpers);
        for (parts, length, cores, pause) in works {
            team.lend(cores);
            team.call(|| FAR);
            let done: Vec<AtomicU32> = (0..parts).map(|_| AtomicU32::new(0)).collect();
            team.share(Load { parts, products: HEAVY }, &mut [], |parts, _| {
                for part in parts {
                    (0..length * (part % 3)).for_each(|_| hint::spin_loop());
                    done[part].fetch_add(1, Ordering::Relaxed);
                }
            });
            prop_assert!(done.iter().all(|done| done.load(Ordering::Relaxed) == 1));
            if pause {
                thread::yield_now();
            }
        }
    }
}

#[test]
fn what_helpers_wrote_is_there_for_the_owner_and_for_the_next_work() {
    let mut team = lent(3);
    let sums: Vec<AtomicUsize> = (0..16).map(|_| AtomicUsize::new(0)).collect();
    for round in 0..2_000_usize {
        team.call(|| FAR);
        team.share(Load { parts: 16, products: HEAVY }, &mut [], |parts, _| {
            // Unordered by themselves: joining and leaving the work must order them.
            for part in parts {
                let neighbour = sums[(part + round) % 16].load(Ordering::Relaxed);
                assert!(neighbour == round || neighbour == round + 1);
                sums[part].store(round + 1, Ordering::Relaxed);
            }
        });
        assert!(sums.iter().all(|sum| sum.load(Ordering::Relaxed) == round + 1));
    }
}

#[test]
fn helpers_have_scratch_memory_of_their_own() {
    let mut team = Team::of(Arc::new(Crew::new(2, 5)));
    team.lend(2);
    let mut own = [7.0; 5];
    for _ in 0..200 {
        team.call(|| FAR);
        team.share(Load { parts: 8, products: HEAVY }, &mut own, |parts, scratch| {
            assert_eq!(scratch.len(), 5);
            for part in parts {
                scratch.fill(part as f32);
                hint::spin_loop();
                assert!(scratch.iter().all(|value| value.to_bits() == (part as f32).to_bits()));
            }
        });
    }
}

#[test]
fn a_panic_of_a_helper_is_the_owners_and_the_crew_goes_on() {
    let mut team = lent(2);
    for _ in 0..3 {
        let panicked =
            catch_unwind(AssertUnwindSafe(|| until_helped(&mut team, |part| panic!("part {part}"))));
        let payload = panicked.unwrap_err();
        assert!(payload.downcast_ref::<String>().is_some_and(|text| text.starts_with("part ")));
        until_helped(&mut team, |_| {});
    }
}

#[test]
fn a_panic_of_the_owner_waits_for_the_helpers() {
    let mut team = lent(1);
    until_helped(&mut team, |_| {});
    let owner = thread::current().id();
    let inside = AtomicUsize::new(0);
    for _ in 0..50 {
        team.call(|| FAR);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            team.share(Load { parts: 8, products: HEAVY }, &mut [], |parts, _| {
                inside.fetch_add(1, Ordering::SeqCst);
                assert_ne!(thread::current().id(), owner, "the owner gives up");
                for _ in parts {
                    thread::yield_now();
                }
                inside.fetch_sub(1, Ordering::SeqCst);
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(inside.swap(0, Ordering::SeqCst), 1, "only the owner, who left by a panic, is counted");
    }
}

#[test]
fn one_team_at_a_time_has_the_helpers_and_the_other_is_alone() {
    let crew = Arc::new(Crew::new(1, 0));
    let mut teams = [Team::of(Arc::clone(&crew)), Team::of(crew)];
    for team in &mut teams {
        team.lend(1);
        team.call(|| FAR);
    }
    assert_eq!(teams.each_ref().map(|team| team.has), [true, false]);
    let alone = thread::current().id();
    teams[1].share(Load { parts: 8, products: HEAVY }, &mut [], |parts, _| {
        assert_eq!(thread::current().id(), alone);
        assert_eq!(parts.count(), 8);
    });
    teams[0].lend(0);
    teams[1].call(|| FAR);
    assert_eq!(teams.each_ref().map(|team| team.has), [false, true]);
}

#[test]
fn little_work_wakes_nobody() {
    let mut team = lent(1);
    team.call(|| Ahead { each: WORTH_SHARING, all: WORTH_WAKING - 1 });
    team.call(|| Ahead { each: WORTH_SHARING - 1, all: HEAVY });
    assert!(!team.has && team.crew.as_ref().is_some_and(|crew| crew.threads.get().is_none()));
}

#[test]
fn dismissed_helpers_sleep_and_the_threads_end_with_the_crew() {
    let mut team = lent(2);
    until_helped(&mut team, |_| {});
    let crew = team.crew.clone().unwrap();
    team.lend(0);
    let started = Instant::now();
    while !crew.shared.seats[1..].iter().all(|seat| seat.asleep.0.load(Ordering::Relaxed)) {
        assert!(started.elapsed() < HANGING, "dismissed and still awake");
        thread::yield_now();
    }
    let shared: Weak<Shared> = Arc::downgrade(&crew.shared);
    drop(team);
    drop(crew);
    assert!(shared.upgrade().is_none(), "a thread is left that holds what the crew shares");
}

#[test]
fn a_crew_ends_while_its_helpers_are_awake() {
    for _ in 0..50 {
        let mut team = lent(2);
        team.call(|| FAR);
        team.share(Load { parts: 3, products: HEAVY }, &mut [], |parts, _| assert!(parts.count() <= 3));
        let shared = team.crew.as_ref().map(|crew| Arc::downgrade(&crew.shared)).unwrap();
        drop(team);
        assert!(shared.upgrade().is_none());
    }
}

#[test]
fn numbers_of_works_come_round_without_a_part_left_out() {
    let mut team = lent(2);
    until_helped(&mut team, |_| {});
    let crew = team.crew.clone().unwrap();
    // As after 2^32 works: the shares of the last time round would look like those of now.
    crew.shared.seats[0].state.store(parts::NUMBERS - 2, Ordering::Relaxed);
    for _ in 0..6 {
        let done = AtomicUsize::new(0);
        team.call(|| FAR);
        team.share(Load { parts: 9, products: HEAVY }, &mut [], |parts, _| {
            done.fetch_add(parts.count(), Ordering::Relaxed);
        });
        assert_eq!(done.into_inner(), 9);
    }
}
