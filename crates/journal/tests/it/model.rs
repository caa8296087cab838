use attestry_journal::{Options, Policy, disk::Lie};
use proptest::{prelude::*, test_runner::Config};

use crate::run::{Act, Run};

fn act() -> impl Strategy<Value = Act> {
    let bytes = prop_oneof![4 => Just(0_usize), 8 => Just(100), 4 => Just(700), 2 => 0..3_000_usize, 1 => Just(9_000)];
    let lie = prop_oneof![Just(Lie::Lost), Just(Lie::Kept), Just(Lie::Part)];
    prop_oneof![
        40 => bytes.prop_map(Act::Append),
        20 => Just(Act::Sync),
        4 => Just(Act::Rollback),
        3 => (0..=100_u64).prop_map(Act::Remove),
        3 => Just(Act::Restart),
        2 => Just(Act::Crash),
        3 => (0..20_u64).prop_map(Act::CrashIn),
        6 => (0..20_u64, lie).prop_map(|(operations, lie)| Act::FailIn(operations, lie)),
        1 => (0..10_000_u64).prop_map(Act::Room),
        1 => (0..5_000_u64).prop_map(Act::Budget),
        3 => Just(Act::Lift),
    ]
}

fn options() -> impl Strategy<Value = Options> {
    let cap = prop_oneof![Just(u64::MAX), 4_096..40_000_u64];
    let policy = prop_oneof![Just(Policy::Block), Just(Policy::DropOldest)];
    (cap, policy).prop_map(|(cap_bytes, policy)| Options { segment_bytes: 4 << 10, cap_bytes, policy })
}

proptest! {
    #![proptest_config(Config { cases: 2_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn the_journal_is_a_vector(seed: u64, options in options(), acts in prop::collection::vec(act(), 1..80)) {
        let mut run = Run::new(seed, options);
        for act in acts {
            run.act(act);
        }
        for act in [Act::Lift, Act::Crash, Act::Append(100), Act::Sync, Act::Crash] {
            run.act(act);
        }
    }
}
