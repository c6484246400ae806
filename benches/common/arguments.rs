//! The command line of a bench.

/// Reads the command line. `set` gets the name of each option and what gives its value, and says whether there is such an option;
/// `help` is what `--help` prints.
pub fn arguments(help: &str, mut set: impl FnMut(&str, &mut dyn FnMut() -> String) -> bool) {
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" => {
                println!("{help}");
                std::process::exit(0);
            }
            // What `cargo bench` and `cargo test` add.
            "--bench" | "--test" | "--nocapture" => {}
            name => {
                let mut value = || args.next().unwrap_or_else(|| panic!("{name} takes a value"));
                assert!(set(name, &mut value), "unknown option {name}; --help lists them");
            }
        }
    }
}
