//! How much is remembered. Beyond a bound the longest unused tenth goes, and a `gap.rules` event says how much it was.

/// Groups that a rule follows at once: 10,000 of about 1 KiB are 10 MiB a rule at worst.
pub const GROUPS_MAX: usize = 10_000;

/// Values that a rule of the kind `first_seen` knows.
pub const SEEN_MAX: usize = 100_000;

/// Alerts that are open or silenced at once, of all rules.
pub const ALERTS_MAX: usize = 50_000;

/// The most that a `count` may be: so many times are remembered for each group.
pub const COUNT_MAX: u32 = 10_000;

/// Steps of a sequence.
pub const STEPS_MAX: usize = 16;

/// Fields that make up a group.
pub const BY_MAX: usize = 8;

/// Bytes of a value within a group; of a longer one the beginning and a hash stand for it.
pub const VALUE_BYTES_MAX: usize = 256;

/// Entries that an alert names as its evidence, the newest.
pub const EVIDENCE_MAX: usize = 10;

/// Windows that Sigma's correlations follow at once, of all rules.
pub const CORRELATIONS_MAX: usize = 100_000;

/// Entries within one window of a Sigma correlation; a count above it is not told apart.
pub const CORRELATION_ENTRIES_MAX: usize = 10_000;

/// Bytes of a file with rules.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Rules of all folders.
pub const RULES_MAX: usize = 20_000;

/// Characters of an alert's message.
pub const MESSAGE_CHARS_MAX: usize = 500;

/// Nanoseconds between two `alert.repeat` events of one alert.
pub const REPEAT_EVERY: i64 = 60_000_000_000;
