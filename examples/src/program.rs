//! From the command line to the exit code.

use std::process::ExitCode;
use tokio::signal;

/// Runs an example by its options, or prints its help where they are `None`. What goes wrong is told
/// under the example's name.
pub async fn main<O>(
    name: &str,
    help: &str,
    options: Result<Option<O>, String>,
    run: impl AsyncFnOnce(O) -> Result<(), String>,
) -> ExitCode {
    let outcome = match options {
        Ok(Some(options)) => run(options).await,
        Ok(None) => {
            println!("{help}");
            Ok(())
        }
        Err(problem) => Err(problem),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{name}: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for Ctrl-C, and says that it came.
///
/// # Errors
///
/// Where the system does not let this process wait for it.
pub async fn until_ctrl_c() -> Result<(), String> {
    let waited = signal::ctrl_c().await;
    waited.map_err(|error| format!("cannot wait for Ctrl-C: {error}"))?;
    println!("\nStopping.");
    Ok(())
}
