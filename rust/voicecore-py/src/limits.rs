//! From which size on a call lets other threads run: about 10 us of work on one AVX-512 core.
//!
//! Detaching and attaching again costs about 50 ns, and far more when threads compete, so short calls
//! keep the GIL. One constant per kind of work; the unit is what the caller counts.

/// G.711, samples.
pub const G711_SAMPLES: usize = 65_536;
/// Downmix, samples in.
pub const DOWNMIX_SAMPLES: usize = 65_536;
/// Resampling and transcoding, samples in (for a flush: frames out).
pub const RESAMPLE_SAMPLES: usize = 8_192;
/// Transcoding, bytes in.
pub const TRANSCODE_BYTES: usize = 16_384;
/// Transcoding of MP3 and Opus, bytes in: a frame costs tens of us to decode.
pub const DECODE_BYTES: usize = 64;
/// Transcoding of many streams in one call, bytes in: each costs a good deal besides.
pub const BANK_BYTES: usize = 8_192;
/// What a byte of MP3 or Opus counts for there.
pub const CODED_WEIGHT: usize = BANK_BYTES / DECODE_BYTES;
/// Bytes in for which one more thread of a bank pays; to start and join it costs about 20 us.
pub const BANK_THREAD_BYTES: usize = 65_536;
/// Most threads of a bank.
pub const BANK_THREADS: usize = 64;
/// Base64, bytes of text.
pub const BASE64_BYTES: usize = 262_144;
/// JSON messages, bytes.
pub const MESSAGE_BYTES: usize = 262_144;
/// WAV headers and payload, bytes: a plain copy.
pub const WAV_BYTES: usize = 131_072;
/// audioop, bytes in (and out, where that is far more): most of its functions take 0.1 to 1 ns for one.
pub const AUDIOOP_BYTES: usize = 32_768;
/// Levels, bytes in.
pub const LEVEL_BYTES: usize = 131_072;
/// Mixing, bytes of all streams.
pub const MIX_BYTES: usize = 65_536;
/// Re-framing and silence, bytes: a plain copy.
pub const COPY_BYTES: usize = 131_072;
