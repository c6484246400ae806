//! OTLP: logs to an OpenTelemetry Collector, or to whatever else takes `ExportLogsServiceRequest` by HTTP with protobuf.
//!
//! Rules: the OpenTelemetry protocol specification, "OTLP/HTTP". Each record has its event ID as `log.record.uid`, the same at
//! each retry, by which a backend can recognise what it has already; the protocol itself recognises nothing.
//!
//! | answer | meaning |
//! |---|---|
//! | 200 | delivered |
//! | 200 with `partial_success` that names refused records | those of the request go to the dead letters: which they are is not told, and a second request would double the others |
//! | 408, 425, 429, 5xx, none | sent again |
//! | 413, 400, 422 | halves, down to the event that causes it |
//! | all others | held: a person must mend something; nothing is dropped |

mod encode;
mod options;
mod send;

pub(crate) use encode::OtlpEncoder;
pub use options::OtlpOptions;
pub(crate) use send::OtlpClient;
