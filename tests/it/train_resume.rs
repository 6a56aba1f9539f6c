//! A training run that is killed and resumed ends with the bytes of one that was not.

use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use crate::support::training::{Workshop, complaint};

/// Kills of the kill test.
const KILLS: u32 = 20;

/// Waits until `reached` holds or the run has ended; says whether it still runs.
fn runs_until(child: &mut Child, reached: impl Fn() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if reached() {
            return true;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "the run neither ends nor gets on");
        std::thread::yield_now();
    }
}

#[test]
fn killed_at_random_moments_and_resumed_it_ends_with_the_same_bytes() {
    for (workshop, epochs) in [(Workshop::text(), "12"), (Workshop::image(), "12")] {
        workshop.train("whole", &["--epochs", epochs]);
        let expected = workshop.weights("whole", 1);
        let arguments = ["--epochs", epochs, "--resume", "--checkpoint-every", "2"];
        let (mut kills, mut resumptions, mut moment) = (0, 0, 7_u64);
        while kills < KILLS / 2 {
            // A linear congruential generator: moments differ, and are the same in every run of this test.
            moment = moment.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let delay = Duration::from_millis((moment >> 33) % 400);
            let before = workshop.checkpoints("killed").pop();
            resumptions += u32::from(before.is_some());
            let mut child = workshop.start("killed", &arguments);
            // Some moments after the first new checkpoint, so that every run gets on. A run that ends before its
            // moment has published, and the next one begins anew.
            if runs_until(&mut child, || workshop.checkpoints("killed").pop() > before) {
                let at = Instant::now() + delay;
                if runs_until(&mut child, || Instant::now() >= at) {
                    child.kill().unwrap();
                    kills += 1;
                }
            }
            child.wait().unwrap();
        }
        workshop.train("killed", &arguments);
        assert!(resumptions >= KILLS / 4, "only {resumptions} runs were resumed");
        let versions = workshop.versions("killed");
        for version in &versions {
            assert!(workshop.weights("killed", *version) == expected, "version {version} differs");
        }
        println!("{kills} kills, {resumptions} resumed runs, {} equal weights files", versions.len());
    }
}

#[test]
fn a_signal_writes_a_checkpoint_first_and_says_how_to_go_on() {
    let workshop = Workshop::text();
    workshop.train("whole", &["--epochs", "60"]);
    let mut command = workshop.command("cut", &["--epochs", "60", "--checkpoint-every", "1000000"]);
    let child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    assert!(runs_until(&mut child, || !workshop.checkpoints("cut").is_empty()), "it ended before the signal");
    let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(sent.success());
    let said = complaint(&child.wait_with_output().unwrap(), 1);
    assert!(said.contains("a checkpoint is written") && said.contains("--epochs 60"), "{said}");
    assert!(said.lines().last().unwrap().ends_with("--resume"), "{said}");

    let said = complaint(&workshop.run("cut", &["--epochs", "60"]), 1);
    assert!(said.contains("an unfinished run is at") && said.contains("--restart"), "{said}");
    let said = complaint(&workshop.run("cut", &["--epochs", "61", "--resume"]), 64);
    assert!(said.contains("recipe.epochs: the checkpoint has 60, now 61"), "{said}");
    workshop.train("cut", &["--epochs", "60", "--resume"]);
    assert!(workshop.weights("cut", 1) == workshop.weights("whole", 1));
}

#[test]
fn a_torn_checkpoint_costs_an_interval_and_not_the_run() {
    let workshop = Workshop::text();
    workshop.train("whole", &[]);
    let mut child = workshop.start("torn", &["--checkpoint-every", "1"]);
    assert!(runs_until(&mut child, || workshop.checkpoints("torn").len() > 1), "it ended too soon");
    child.kill().unwrap();
    child.wait().unwrap();
    let newest = workshop.checkpoints("torn").pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() / 2]).unwrap();
    let output = workshop.run("torn", &["--resume"]);
    let said = complaint(&output, 0);
    assert!(said.contains("is damaged and is passed over") && said.contains("resuming at step"), "{said}");
    assert!(workshop.weights("torn", 1) == workshop.weights("whole", 1));
}

#[test]
fn without_a_checkpoint_resuming_starts_anew_and_says_so() {
    let workshop = Workshop::text();
    let said = complaint(&workshop.run("films", &["--resume", "--epochs", "1"]), 0);
    assert!(said.contains("there is no checkpoint to resume from: starting anew"), "{said}");
}

#[test]
fn two_trainers_do_not_share_an_output() {
    let workshop = Workshop::text();
    let mut first = workshop.start("films", &["--epochs", "100000", "--checkpoint-every", "1"]);
    assert!(runs_until(&mut first, || !workshop.checkpoints("films").is_empty()));
    let said = complaint(&workshop.run("films", &["--epochs", "100000", "--resume"]), 1);
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(said.contains("another training run is writing to"), "{said}");
}
