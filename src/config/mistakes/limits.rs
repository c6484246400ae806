//! Limits that cannot hold.

use super::after_pipeline;
use insta::assert_snapshot;

#[test]
fn no_number_of_processors() {
    assert_snapshot!(after_pipeline("limits: {cpu: 50%, memory: 8MiB}\n"), @r#"
    error: `limits.cpu` is `50%`
      --> pipeline.yaml:3:15
       |
     3 | limits: {cpu: 50%, memory: 8MiB}
       |               ^^^
       = expected a number of processors from 0.01 to 1024, such as `0.5`, `2` or `500m`
       = help: 50 % of a processor is `500m`

    error: `limits.memory` is `8MiB`
      --> pipeline.yaml:3:28
       |
     3 | limits: {cpu: 50%, memory: 8MiB}
       |                            ^^^^
       = expected a size from 20MiB to 1TiB

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn a_queue_that_takes_more_than_all() {
    assert_snapshot!(after_pipeline("limits: {memory: 64MiB, cpus: 2}\nqueue: {buffer_memory: 64MiB}\n"), @r#"
    error: unknown key `cpus` in limits
      --> pipeline.yaml:3:25
       |
     3 | limits: {memory: 64MiB, cpus: 2}
       |                         ^^^^
       = expected one of: memory, cpu
       = help: did you mean `cpu`?

    error: `queue.buffer_memory` does not fit into `limits.memory`
      --> pipeline.yaml:4:24
       |
     4 | queue: {buffer_memory: 64MiB}
       |                        ^^^^^
       = expected at most 48MiB, since the agent itself takes up to 16MiB of the 64MiB
       = help: without `queue.buffer_memory`, it follows from `limits.memory`

    2 errors in pipeline.yaml; nothing was started and no data was touched
    "#);
}

#[test]
fn record_batches_that_do_not_fit() {
    assert_snapshot!(after_pipeline("limits: {memory: 20MiB}\nqueue: {batch_size: 2MiB}\n"), @r#"
    error: `queue.batch_size` is larger than a quarter of `queue.buffer_memory`
      --> pipeline.yaml:4:21
       |
     4 | queue: {batch_size: 2MiB}
       |                     ^^^^
       = expected room for at least four record batches in memory
       = help: `limits.memory` leaves 4MiB for `queue.buffer_memory`, so 1MiB for a record batch

    1 error in pipeline.yaml; nothing was started and no data was touched
    "#);
}
