//! The `gridstone` command.

fn main() -> std::process::ExitCode {
    gridstone::cli::main()
}
