//! A toy engine for the tests of this module: rows count down their steps, and do what they are told to on the way.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, ThreadId};

use super::{Engine, RowError};

/// What a row does to its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Answer,
    Fail,
    RefuseAdmission,
    PanicAtAdmission,
    /// At its last step.
    PanicInStep,
}

#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) id: u32,
    pub(super) steps: u32,
    pub(super) fate: Fate,
}

/// A row that is answered after one step.
pub(super) fn row(id: u32) -> Row {
    Row { id, steps: 1, fate: Fate::Answer }
}

/// The right answer to the row of this number.
pub(super) fn answer(id: u32) -> u64 {
    u64::from(id) * 7 + 1
}

/// What a test hears of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A step begins with these rows, in the order of their slots.
    Step(Vec<u32>),
    Evicted(u32),
}

/// Holds engines back at each step until the test lets them on.
#[derive(Debug, Default)]
pub(super) struct Gate {
    steps: Mutex<u32>,
    allowed: Condvar,
}

impl Gate {
    pub(super) fn allow(&self, steps: u32) {
        let mut allowed = self.steps.lock().unwrap();
        *allowed = allowed.saturating_add(steps);
        self.allowed.notify_all();
    }

    fn pass(&self) {
        let mut steps = self.steps.lock().unwrap();
        while *steps == 0 {
            steps = self.allowed.wait(steps).unwrap();
        }
        *steps -= 1;
    }
}

/// Shared by a test and its engines.
#[derive(Clone)]
pub(super) struct Stage {
    pub(super) gate: Arc<Gate>,
    /// What each call of `lend` said, of whichever engine.
    pub(super) lent: Arc<Mutex<Vec<usize>>>,
    /// The thread of each step, of whichever engine.
    pub(super) stepped: Arc<Mutex<Vec<ThreadId>>>,
    events: SyncSender<Event>,
}

impl Stage {
    pub(super) fn new() -> (Self, Receiver<Event>) {
        let (events, heard) = sync_channel(10_000);
        (Self { gate: Arc::default(), lent: Arc::default(), stepped: Arc::default(), events }, heard)
    }

    pub(super) fn engine(&self, capacity: usize) -> Countdown {
        Countdown { stage: Some(self.clone()), ..Countdown::free(capacity) }
    }
}

pub(super) struct Countdown {
    slots: Vec<Option<Row>>,
    stage: Option<Stage>,
    pub(super) reset_panics: bool,
}

impl Countdown {
    /// Without a stage: nothing holds it back.
    pub(super) fn free(capacity: usize) -> Self {
        Self { slots: vec![None; capacity], stage: None, reset_panics: false }
    }

    fn tell(&self, event: Event) {
        if let Some(stage) = &self.stage {
            let _nobody_listens = stage.events.try_send(event);
        }
    }
}

impl Engine for Countdown {
    type Row = Row;
    type Answer = u64;

    fn capacity(&self) -> usize {
        self.slots.len()
    }

    fn admit(&mut self, slot: usize, row: Row) -> Result<(), RowError> {
        assert!(self.slots[slot].is_none(), "slot {slot} is taken");
        match row.fate {
            Fate::RefuseAdmission => Err(RowError { reason: format!("refused {}", row.id) }),
            Fate::PanicAtAdmission => panic!("admission of {}", row.id),
            _ => {
                self.slots[slot] = Some(row);
                Ok(())
            }
        }
    }

    fn lend(&mut self, idle: usize) {
        if let Some(stage) = &self.stage {
            stage.lent.lock().unwrap().push(idle);
        }
    }

    fn step(&mut self, finished: &mut Vec<(usize, Result<u64, RowError>)>) {
        let held: Vec<u32> = self.slots.iter().flatten().map(|row| row.id).collect();
        assert!(!held.is_empty(), "a step of an empty engine");
        self.tell(Event::Step(held));
        if let Some(stage) = &self.stage {
            stage.stepped.lock().unwrap().push(thread::current().id());
            stage.gate.pass();
        }
        for (slot, place) in self.slots.iter_mut().enumerate() {
            let Some(row) = place else { continue };
            row.steps = row.steps.saturating_sub(1);
            if row.steps > 0 {
                continue;
            }
            let result = match row.fate {
                Fate::PanicInStep => panic!("step of {}", row.id),
                Fate::Fail => Err(RowError { reason: format!("failed {}", row.id) }),
                _ => Ok(answer(row.id)),
            };
            finished.push((slot, result));
            *place = None;
        }
    }

    fn evict(&mut self, slot: usize) {
        if let Some(row) = self.slots[slot].take() {
            self.tell(Event::Evicted(row.id));
        }
    }

    fn reset(&mut self) {
        assert!(!self.reset_panics, "reset");
        self.slots.fill(None);
    }
}
