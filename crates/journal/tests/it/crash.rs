use attestry_journal::{
    Options, Policy,
    disk::{Lie, SimDisk},
};

use crate::run::{
    Act::{self, *},
    Run,
};

const OPTIONS: Options = Options { segment_bytes: 4 << 10, cap_bytes: u64::MAX, policy: Policy::Block };

/// Groups of one and of many, over file ends, larger than a file, removed, rolled back, over a restart. Many sizes are equal,
/// so that what one attempt left behind fits exactly behind the next one.
const SCRIPT: &[Act] = &[
    Append(100),
    Sync,
    Append(100),
    Append(100),
    Append(600),
    Sync,
    Append(100),
    Rollback,
    Append(100),
    Append(100),
    Sync,
    Append(1_200),
    Append(1_200),
    Append(1_200),
    Append(100),
    Sync,
    Append(9_000),
    Append(0),
    Sync,
    Remove(60),
    Append(700),
    Append(700),
    Append(700),
    Append(700),
    Append(700),
    Append(700),
    Rollback,
    Append(700),
    Append(700),
    Sync,
    Restart,
    Append(100),
    Append(100),
    Sync,
    Remove(100),
    Append(5_000),
    Append(5_000),
    Rollback,
    Append(5_000),
    Sync,
    Append(100),
    Append(100),
    Append(100),
];

fn play(run: &mut Run) {
    for act in SCRIPT {
        run.act(*act);
    }
}

fn operations() -> u64 {
    let mut run = Run::new(0, OPTIONS);
    play(&mut run);
    run.disk.operations()
}

/// What must work after any accident, and be there after one more.
fn go_on(run: &mut Run) {
    for act in [Append(100), Append(100), Sync, Append(100), Crash, Append(100), Sync, Crash] {
        run.act(act);
    }
}

#[test]
fn a_crash_at_every_operation() {
    for operation in 0..operations() {
        for seed in 0..12 {
            let mut run = Run::new(seed * 1_000 + operation, OPTIONS);
            // The first operations are those of `new`, which a crash must not hit twice.
            run.act(CrashIn(operation.saturating_sub(run.disk.operations())));
            play(&mut run);
            go_on(&mut run);
        }
    }
}

#[test]
fn a_second_crash_while_recovering_from_the_first() {
    for operation in 0..operations() {
        for second in 0..4 {
            let mut run = Run::new(second * 1_000 + operation, OPTIONS);
            run.act(CrashIn(operation));
            for act in SCRIPT {
                let down = run.disk.is_down();
                run.act(*act);
                if down {
                    break;
                }
            }
            run.disk.crash();
            run.disk.restart();
            run.disk.crash_at(run.disk.operations() + second);
            run.restart();
            go_on(&mut run);
        }
    }
}

#[test]
fn every_lie_at_every_operation() {
    for operation in 0..operations() {
        for lie in [Lie::Lost, Lie::Kept, Lie::Part] {
            for seed in 0..2 {
                let mut run = Run::new(seed * 1_000 + operation, OPTIONS);
                run.act(FailIn(operation, lie));
                play(&mut run);
                // Half of the time the process starts again and reads what only the page cache has, before the power goes.
                for act in [Restart, Crash, Restart].into_iter().skip((seed % 2) as usize) {
                    run.act(act);
                }
                go_on(&mut run);
            }
        }
    }
}

#[test]
fn a_crash_soon_after_every_lie() {
    for operation in 0..operations() {
        for lie in [Lie::Lost, Lie::Kept, Lie::Part] {
            for later in [1, 2, 3, 5, 8] {
                let mut run = Run::new(later * 1_000 + operation, OPTIONS);
                run.act(FailIn(operation, lie));
                run.act(CrashIn(operation + later));
                play(&mut run);
                go_on(&mut run);
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_and_recovers_by_itself() {
    for room in (0..20_000).step_by(500) {
        let mut run = Run::new(room, OPTIONS);
        run.act(if room % 1_000 == 0 { Room(room) } else { Budget(room) });
        play(&mut run);
        run.act(Lift);
        let before = run.acknowledged();
        for act in [Append(100), Sync] {
            run.act(act);
        }
        assert!(run.acknowledged() > before, "it takes records as soon as there is room");
        go_on(&mut run);
    }
}

/// A file whose name came with a failing call supersedes what was rolled back. Once an open has counted on that, no crash may
/// undo it.
#[test]
fn an_open_keeps_what_it_saw() {
    for seed in 0..20 {
        let mut run = Run::new(seed, OPTIONS);
        for act in [Append(100), Sync, Append(100), Rollback] {
            run.act(act);
        }
        let renaming = 5;
        for act in [FailIn(renaming, Lie::Kept), Append(100), Restart, Crash] {
            run.act(act);
        }
        assert_eq!(run.acknowledged(), 1);
        go_on(&mut run);
    }
}

#[test]
fn the_same_seed_has_the_same_accidents() {
    let contents = |seed| {
        let mut run = Run::new(seed, OPTIONS);
        run.disk.fail_one_in(20);
        play(&mut run);
        run.disk.fail_one_in(0);
        run.act(Crash);
        (run.acknowledged(), run.disk.operations(), contents(&run.disk))
    };
    assert!(contents(7) == contents(7));
    assert!(contents(7) != contents(8));
}

fn contents(disk: &SimDisk) -> Vec<(String, Option<Vec<u8>>)> {
    use attestry_journal::disk::Disk;
    let dir = std::path::Path::new(crate::run::DIR);
    disk.list(dir).unwrap().into_iter().map(|name| (name.clone(), disk.contents(&dir.join(name)))).collect()
}
