//! Every bound of the program, in one place. Units are in the names; relations are asserted at compile time.
//!
//! A bound that an operator may tighten or widen is a *default* here and a key in `config/sconce.toml`;
//! the others are fixed, because a wider one would let one caller spend what belongs to all.

/// Kibibyte.
pub const KIB: usize = 1024;
/// Mebibyte.
pub const MIB: usize = 1024 * KIB;

// --- HTTP -------------------------------------------------------------------------------------

/// Default largest request body: 10 MiB, a 20-megapixel JPEG.
pub const BODY_BYTES_DEFAULT: usize = 10 * MIB;
/// Largest body an operator may allow.
pub const BODY_BYTES_MAX: usize = 256 * MIB;
/// Header lines of one request.
pub const HEADERS_MAX: usize = 64;
/// Bytes of request line and headers together.
pub const HEADER_BYTES_MAX: usize = 16 * KIB;
/// Nesting of a JSON body; ours needs 3.
pub const JSON_DEPTH_MAX: usize = 32;
/// Values of one JSON body that are no numbers of a list: 256 inputs with a few dozen each.
pub const JSON_VALUES_MAX: usize = 16_384;
/// Members of one JSON object among them.
pub const JSON_MEMBERS_MAX: usize = 64;
/// Inputs in one request.
pub const REQUEST_INPUTS_MAX: usize = 256;
/// Bytes of what the examples of `:classify` share, in all its copies together: twice as many as the longest texts have.
pub const CONTEXT_BYTES_MAX: usize = 2 * REQUEST_INPUTS_MAX * TEXT_BYTES_MAX;
/// Bytes of the answers to JSON lines: what batch transform takes at most, 100 MiB, and some.
pub const LINES_ANSWER_BYTES_MAX: usize = 128 * MIB;
/// Fields of a gRPC message, each of a list counted: far more inputs and outputs than any model has. An input of 2 bytes
/// becomes one of 300.
pub const MESSAGE_FIELDS_MAX: usize = 1024;
/// Byte strings among the typed elements of a gRPC message: 2 MiB, when they are empty.
pub const MESSAGE_STRINGS_MAX: usize = 65_536;
/// Parts of a multipart body.
pub const MULTIPART_PARTS_MAX: usize = 64;
/// Connections open at once, by default.
pub const CONNECTIONS_DEFAULT: usize = 4096;
/// Seconds a client has to send its header, by default.
pub const HEADER_SECONDS_DEFAULT: u64 = 5;
/// Seconds a client has to send its body, by default.
pub const BODY_SECONDS_DEFAULT: u64 = 30;
/// Milliseconds a request may take unless it says otherwise.
pub const DEADLINE_MS_DEFAULT: u64 = 10_000;
/// Milliseconds a request may ask for.
pub const DEADLINE_MS_MAX: u64 = 120_000;
/// Seconds that in-flight requests have once draining began, by default.
pub const DRAIN_SECONDS_DEFAULT: u64 = 25;
/// Microseconds after an answer in which a thread looks for the next request before it sleeps, by default: what a client
/// on the same machine takes to ask again, with its thread woken.
pub const AWAKE_US_DEFAULT: u64 = 60;
/// Microseconds that an operator may have a thread look for the next request.
pub const AWAKE_US_MAX: u64 = 1000;
/// Bytes of a request id taken over from the caller.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Connections an operator may allow.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Seconds an operator may give a client to send its header.
pub const HEADER_SECONDS_MAX: u64 = 60;
/// Seconds an operator may give a client to send its body.
pub const BODY_SECONDS_MAX: u64 = 600;
/// Seconds an operator may give in-flight requests once draining began.
pub const DRAIN_SECONDS_MAX: u64 = 600;
/// Milliseconds after a stop in which new and idle connections are still served: a request that was sent before its
/// caller could know is answered.
pub const LINGER_MS: u64 = 250;
/// Milliseconds of pause after an accept that failed for want of file descriptors or memory.
pub const ACCEPT_PAUSE_MS: u64 = 100;
/// Bytes of an answer that is compressed for a caller that takes it so, at least: smaller ones fit one packet anyway.
pub const COMPRESSED_BYTES_MIN: usize = KIB;
/// And at most: the largest answers would keep a core for seconds.
pub const COMPRESSED_BYTES_MAX: usize = 64 * MIB;
/// Bytes of an answer that is compressed where it is: some hundred microseconds. Larger ones go aside.
pub const COMPRESSED_INLINE_BYTES_MAX: usize = 32 * KIB;
/// Requests under way on one HTTP/2 connection; further ones wait at the client.
pub const HTTP2_STREAMS_MAX: u32 = 256;
/// Bytes of the header of one HTTP/2 request.
pub const HTTP2_HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Bytes of one HTTP/2 request that may be on their way before any is read: 1 MiB, a picture in one go.
pub const HTTP2_STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// The same of all requests of one connection together.
pub const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Bytes of one HTTP/2 frame.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 64 * 1024;
/// Seconds of silence on an HTTP/2 connection after which the server asks whether anyone is there.
pub const HTTP2_PING_SECONDS: u64 = 20;
/// Seconds that the answer to that may take.
pub const HTTP2_PONG_SECONDS: u64 = 10;
/// Requests of one stream that are computed side by side; further ones are not read yet.
pub const STREAM_REQUESTS_MAX: usize = 64;
/// Seconds for which a browser may remember what pages of other origins are let do: a day, of which browsers take less.
pub const PREFLIGHT_SECONDS: u64 = 24 * 60 * 60;
/// Milliseconds between two looks of a stream that has no end of its own at whether the server drains.
pub const DRAIN_LOOK_MS: u64 = 100;
/// Milliseconds between two looks at a health status that is watched.
pub const HEALTH_WATCH_MS: u64 = 250;
/// Seconds that one step of an engine may take before the server is no longer ready.
pub const STEP_SECONDS_MAX: u64 = 30;

// --- Inputs -----------------------------------------------------------------------------------

/// Bytes of one text: 64 KiB is some 10,000 words.
pub const TEXT_BYTES_MAX: usize = 64 * KIB;
/// Bytes of a text that is tokenized on the caller's task, in some hundred microseconds; longer ones, and pictures, go
/// to the blocking pool.
pub const TEXT_BYTES_INLINE_MAX: usize = 4 * KIB;
/// Microseconds that a row may be expected to take that its caller computes when few ask and every worker is asleep: about
/// what waking one and being woken by it take together on a machine whose cores sleep deeply, and as long as a task may keep
/// others waiting.
pub const LONE_ROW_US_MAX: u64 = 100;
/// The same for one who alone has asked for a while: nobody waits but, for once, the first to come beside.
pub const ALONE_ROW_US_MAX: u64 = 500;
/// Tokens of one text that a model may ask for.
pub const TEXT_TOKENS_MAX: usize = 16_384;
/// Pixels a side of an encoded picture.
pub const PICTURE_SIDE_MAX: u32 = 16_384;
/// Pixels of an encoded picture: 40 million, a phone's largest.
pub const PICTURE_PIXELS_MAX: u64 = 40_000_000;
/// Bytes a picture decoder may allocate: 40 million pixels of RGBA.
pub const PICTURE_DECODE_BYTES_MAX: u64 = 160_000_000;
/// Pixels a side of what a network sees.
pub const NETWORK_SIDE_MAX: u32 = 1024;
/// Pixels of what a network sees.
pub const PICTURE_NETWORK_PIXELS_MAX: usize = (NETWORK_SIDE_MAX * NETWORK_SIDE_MAX) as usize;

// --- Models -----------------------------------------------------------------------------------

/// Bytes of a model's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Times the size of a model's files that is free before it is loaded by request: its files, its weights, its engines.
pub const LOAD_MEMORY_TIMES: u64 = 4;
/// Models in one models directory.
pub const MODELS_MAX: usize = 256;
/// Versions of one model looked at.
pub const VERSIONS_MAX: usize = 1024;
/// Files of one version looked at for changes.
pub const VERSION_FILES_MAX: usize = 1024;
/// Seconds after which a staging directory is a dead publisher's: a publication takes seconds.
pub const STAGING_SECONDS_MAX: u64 = 3600;
/// Bytes of `model.toml`.
pub const MANIFEST_BYTES_MAX: u64 = MIB as u64;
/// Bytes of `golden.json`.
pub const GOLDEN_BYTES_MAX: u64 = 8 * MIB as u64;
/// Golden samples of one version.
pub const GOLDEN_SAMPLES_MAX: usize = 64;
/// Bytes of `tokenizer.json`.
pub const TOKENIZER_BYTES_MAX: u64 = 64 * MIB as u64;
/// Largest difference of a golden sample's score in precision `bf16` from the one recorded in f32.
pub const BF16_SCORE_DIFFERENCE_MAX: f32 = 0.03;
/// Largest difference of a golden sample's score in precision `int16` from the one recorded in f32.
pub const INT16_SCORE_DIFFERENCE_MAX: f32 = 0.005;
/// Bytes of a weights file.
pub const WEIGHTS_BYTES_MAX: u64 = 4 * 1024 * MIB as u64;
/// Bytes of a safetensors header.
pub const SAFETENSORS_HEADER_BYTES_MAX: usize = MIB;
/// Tensors of one model.
pub const TENSORS_MAX: usize = 10_000;
/// Dimensions of one tensor.
pub const TENSOR_RANK_MAX: usize = 8;
/// Labels of one model.
pub const LABELS_MAX: usize = 100_000;
/// Bytes of one label.
pub const LABEL_BYTES_MAX: usize = 1024;
/// Rows of an embedding table.
pub const VOCABULARY_MAX: usize = 1_000_000;
/// Width of an embedding or hidden state.
pub const WIDTH_MAX: usize = 16_384;
/// Layers of an LSTM.
pub const LSTM_LAYERS_MAX: usize = 4;
/// Blocks of a convolutional classifier.
pub const CONV_BLOCKS_MAX: usize = 64;
/// f32 of one picture between two of its layers: 1 GiB, 1024 × 1024 positions of 256 channels.
pub const CONV_MAP_VALUES_MAX: usize = 1 << 28;
/// Side and step of a convolution's kernel or a pooling window, and padding.
pub const CONV_KERNEL_MAX: usize = 31;
/// Numbers that one layer puts out for one picture: 64 Mi, 256 MiB.
pub const ACTIVATION_VALUES_MAX: usize = 64 * MIB;
/// Numbers of the unfolded input of a convolution held at once: 1 Mi, 4 MiB, about a second-level cache.
pub const CONV_COLUMNS_MAX: usize = MIB;
/// Seconds between two looks at the models directory, by default.
pub const POLL_SECONDS_DEFAULT: u64 = 5;
/// Seconds between two looks at the models directory at most.
pub const POLL_SECONDS_MAX: u64 = 3600;
/// Bytes kept of the reason why a version was refused.
pub const REFUSAL_BYTES_MAX: usize = 4 * KIB;

// --- Batching ---------------------------------------------------------------------------------

/// Rows waiting for one model version, by default.
pub const QUEUE_ROWS_DEFAULT: usize = 1024;
/// Rows waiting for one model version at most.
pub const QUEUE_ROWS_MAX: usize = 65_536;
/// Tokens waiting for one model version, by default: 1 Mi, 4 MiB, the full queue of rows with 1,024 tokens each.
pub const QUEUE_TOKENS_DEFAULT: usize = MIB;
/// Tokens waiting for one model version at most: 1 Gi, 4 GiB.
pub const QUEUE_TOKENS_MAX: usize = 1024 * MIB;
/// Pixels waiting for one model version, by default: 16 Mi, 192 MiB of RGB, a full request of 256 × 256 pictures.
pub const QUEUE_PIXELS_DEFAULT: usize = 16 * MIB;
/// Pixels waiting for one model version at most: 1 Gi, 12 GiB of RGB.
pub const QUEUE_PIXELS_MAX: usize = 1024 * MIB;
/// Pixels that an engine takes into one step: 4 Mi, four of the largest pictures or 83 of 224 × 224.
pub const STEP_PIXELS_MAX: usize = 4 * MIB;
/// Tokens that an engine which reads whole texts takes into one step: 16 of the longest texts.
pub const STEP_TOKENS_MAX: usize = 16 * TEXT_TOKENS_MAX;
/// Rows an engine holds at once when neither the operator nor a measurement says.
pub const ENGINE_ROWS_DEFAULT: usize = 32;
/// Rows that a measurement may choose on a CPU: a step of more keeps a short text waiting for little.
pub const ENGINE_ROWS_AUTO_CPU_MAX: usize = 64;
/// Rows that a measurement may choose on another device, whose steps cost much at the start and little a row.
pub const ENGINE_ROWS_AUTO_DEVICE_MAX: usize = 256;
/// Milliseconds that measuring an engine on our kernels may take: a model is loaded in some ten.
pub const COST_KERNELS_MS_MAX: u64 = 6;
/// Milliseconds that measuring a candle engine may take: a device alone takes longer to open.
pub const COST_CANDLE_MS_MAX: u64 = 200;
/// Levels of priority of rows that wait; 1 goes first, the middle one is that of requests which name none.
pub const PRIORITY_LEVELS: usize = 5;
/// Milliseconds that a row counts as having come earlier than one of the next level that came with it. A request waits
/// for at most `http.deadline_ms_max`, 10 seconds by default: the first level goes before all that a busy queue holds,
/// and the last waits for 4 seconds' arrivals more than it would without levels.
pub const PRIORITY_LEAD_MS: u64 = 1000;
/// Rows an engine may hold at once.
pub const ENGINE_ROWS_MAX: usize = 4096;
/// Bytes of a folded embedding table: 128 MiB is 20,000 tokens × 1,024 gates, and half as many again.
pub const LSTM_TABLE_BYTES_DEFAULT: usize = 128 * MIB;
/// Worker threads of one model version.
pub const WORKERS_MAX: usize = 256;
/// Answers that wait to be computed again, alone; more are skipped.
pub const VERIFY_WAITING_MAX: usize = 64;
/// Threads that compute one lone row together: more share a step of microseconds in vain.
pub const CREW_THREADS_MAX: usize = 8;

// --- Import -----------------------------------------------------------------------------------

/// Bytes of the pickle inside a `.pt` archive: names and shapes only, so 4 MiB is 10,000 tensors and more.
pub const PICKLE_BYTES_MAX: u64 = 4 * MIB as u64;
/// Values on the stack of the pickle reader.
pub const PICKLE_STACK_MAX: usize = 100_000;
/// Lists, tuples, dicts, texts and memo entries that a pickle may make; 10,000 tensors need some 150,000.
pub const PICKLE_VALUES_MAX: usize = 400_000;
/// Bytes of one text in a pickle: the longest is a tensor's name.
pub const PICKLE_TEXT_BYTES_MAX: usize = KIB;
/// Entries of a `.pt` archive.
pub const ARCHIVE_ENTRIES_MAX: usize = 20_000;
/// Bytes of a `.pt` archive's directory: 20,000 entries of 400 bytes.
pub const ARCHIVE_DIRECTORY_BYTES_MAX: u64 = 8 * MIB as u64;

// --- Configuration and command line -----------------------------------------------------------

/// Bytes of a configuration file.
pub const CONFIG_BYTES_MAX: u64 = MIB as u64;
/// Bytes of a line of `sconce predict -`: a picture of the default body size in base64, and its JSON.
pub const PREDICT_LINE_BYTES_MAX: usize = BODY_BYTES_DEFAULT / 3 * 4 + 64 * KIB;
/// Bytes of a labels file of `sconce import`.
pub const LABELS_FILE_BYTES_MAX: u64 = 16 * MIB as u64;

// --- Training data ----------------------------------------------------------------------------

/// Rows of one data set.
pub const DATASET_ROWS_MAX: usize = 10_000_000;
/// Bytes of one data file.
pub const DATASET_FILE_BYTES_MAX: u64 = 4 * 1024 * MIB as u64;
/// Epochs of one training run.
pub const RECIPE_EPOCHS_MAX: u64 = 100_000;
/// Rows of one training batch.
pub const RECIPE_BATCH_MAX: usize = 65_536;
/// Seconds that a run which is asked to end may spend on figures of what it leaves: platforms kill after 120.
pub const STOP_FIGURES_SECONDS_MAX: u64 = 20;
/// Bytes of a file by which a platform tells what to train.
pub const PLATFORM_FILE_BYTES_MAX: u64 = MIB as u64;
/// Characters of a training job's failure that the platform shows.
pub const FAILURE_CHARACTERS_MAX: usize = 1024;
/// Mistakes that a training report shows.
pub const REPORT_MISTAKES_MAX: usize = 24;
/// Bytes of a picture that is kept whole as a golden sample; a larger one is kept small.
pub const GOLDEN_PICTURE_BYTES_MAX: usize = 16 * KIB;

// --- Measuring --------------------------------------------------------------------------------

/// Connections of `sconce bench http`, by default.
pub const BENCH_CONNECTIONS_DEFAULT: u64 = 64;
/// Requests a second that it may be told to send: more than one thread can.
pub const BENCH_RATE_MAX: f64 = 1e6;
/// Rates of one sweep.
pub const BENCH_RATES_MAX: usize = 256;
/// Seconds of one measurement.
pub const BENCH_SECONDS_MAX: f64 = 3600.0;
/// Bytes of a file of request bodies or rows.
pub const BENCH_BODIES_BYTES_MAX: u64 = 1024 * MIB as u64;
/// Rows that are measured with.
pub const BENCH_ROWS_MAX: usize = 1_000_000;
/// Rows made up at least: 256 of 64 tokens are 16,384 rows of a folded table.
pub const BENCH_ROWS_MADE_UP: usize = 256;
/// Tokens of a row made up for a measurement, by default.
pub const BENCH_TOKENS_DEFAULT: usize = 64;

const _: () = assert!(BODY_BYTES_DEFAULT <= BODY_BYTES_MAX);
const _: () = assert!(HTTP2_HEADER_BYTES_MAX as usize == HEADER_BYTES_MAX);
const _: () = assert!(TEXT_BYTES_MAX < BODY_BYTES_DEFAULT);
const _: () = assert!(QUEUE_ROWS_DEFAULT <= QUEUE_ROWS_MAX);
const _: () = assert!(ENGINE_ROWS_DEFAULT <= ENGINE_ROWS_MAX);
const _: () = assert!(TEXT_TOKENS_MAX <= QUEUE_TOKENS_DEFAULT && QUEUE_TOKENS_DEFAULT <= QUEUE_TOKENS_MAX);
const _: () =
    assert!(PICTURE_NETWORK_PIXELS_MAX <= QUEUE_PIXELS_DEFAULT && QUEUE_PIXELS_DEFAULT <= QUEUE_PIXELS_MAX);
const _: () =
    assert!(ENGINE_ROWS_AUTO_CPU_MAX <= ENGINE_ROWS_MAX && ENGINE_ROWS_AUTO_DEVICE_MAX <= ENGINE_ROWS_MAX);
const _: () = assert!(REQUEST_INPUTS_MAX <= QUEUE_ROWS_DEFAULT);
const _: () = assert!(REQUEST_INPUTS_MAX <= MESSAGE_STRINGS_MAX);
const _: () = assert!(DEADLINE_MS_DEFAULT <= DEADLINE_MS_MAX);
const _: () = assert!(CONNECTIONS_DEFAULT <= CONNECTIONS_MAX);
const _: () =
    assert!(HEADER_SECONDS_DEFAULT <= HEADER_SECONDS_MAX && BODY_SECONDS_DEFAULT <= BODY_SECONDS_MAX);
const _: () = assert!(DRAIN_SECONDS_DEFAULT <= DRAIN_SECONDS_MAX);
const _: () = assert!(AWAKE_US_DEFAULT <= AWAKE_US_MAX);
const _: () = assert!(POLL_SECONDS_DEFAULT <= POLL_SECONDS_MAX);
const _: () = assert!(PICTURE_PIXELS_MAX * 4 <= PICTURE_DECODE_BYTES_MAX);
const _: () = assert!(GOLDEN_BYTES_MAX > MANIFEST_BYTES_MAX);
