//! The command line of `bedside-server`.

use std::{io::Read, path::PathBuf};

use anyhow::{Context, bail};
use bedside_protocol::{Pii, Role, Secret};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tracing_subscriber::EnvFilter;

use crate::{
    accounts::{Accounts, NewUser},
    attachments::blobs::BlobStore,
    auth::password::Passwords,
    config::{BlobConfig, Config, settings::Settings},
    db::Database,
    demo, listener, openapi, server,
};

mod signals;

use self::signals::{Signal, Signals};

/// Bedside's signaling server
#[derive(Debug, Parser)]
#[command(name = "bedside-server", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// TOML file with settings; flags and environment variables win over it
    #[arg(long, global = true, env = "BEDSIDE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines look
    #[arg(long, global = true, env = "BEDSIDE_LOG_FORMAT", default_value = "human")]
    log_format: LogFormat,
    /// Which log lines are written, as in "info" or "bedside_server=debug"
    #[arg(long, global = true, env = "BEDSIDE_LOG", default_value = "info")]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For a terminal.
    Human,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until stopped by SIGTERM or Ctrl-C
    Serve(Box<Settings>),
    /// Look at the configuration without serving
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Make and list accounts
    #[command(subcommand)]
    User(UserCommand),
    /// Decide who may talk to whom
    #[command(subcommand)]
    Contact(ContactCommand),
    /// Make the first administrator
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Make a sample clinic and print its logins and passwords as JSON: never on a server with real people
    DemoClinic(DatabaseArg),
    /// Print the OpenAPI document
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Say whether the server could run with these settings, and what to change if not
    Check(Box<Settings>),
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an account
    Add {
        /// What they sign in with
        #[arg(long)]
        login: String,
        /// What others see
        #[arg(long)]
        name: String,
        /// patient, clinician, guest or admin
        #[arg(long, value_parser = parse_role)]
        role: Role,
        /// For clinicians: "Cardiology"
        #[arg(long)]
        specialty: Option<String>,
        #[command(flatten)]
        password: PasswordArg,
        #[command(flatten)]
        database: DatabaseArg,
    },
    /// List accounts: id, login, role, name, and "disabled" where it is
    List(DatabaseArg),
    /// Set another password and end all sign-ins of the account
    Password {
        /// Whose
        #[arg(long)]
        login: String,
        #[command(flatten)]
        password: PasswordArg,
        #[command(flatten)]
        database: DatabaseArg,
    },
    /// Take an account's access away and end all its sign-ins
    Disable(LoginArg),
    /// Give an account its access back
    Enable(LoginArg),
}

#[derive(Debug, Subcommand)]
enum ContactCommand {
    /// Let two people see and call each other
    Add(PairArg),
    /// Keep two people from seeing and calling each other any more
    Remove(PairArg),
}

#[derive(Args, Debug)]
struct LoginArg {
    /// Whose
    #[arg(long)]
    login: String,
    #[command(flatten)]
    database: DatabaseArg,
}

#[derive(Args, Debug)]
struct PairArg {
    /// A login
    one: String,
    /// Another login
    other: String,
    #[command(flatten)]
    database: DatabaseArg,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Make an administrator's account
    Create {
        /// What they sign in with
        #[arg(long)]
        login: String,
        /// What others see
        #[arg(long, default_value = "Administrator")]
        name: String,
        #[command(flatten)]
        password: PasswordArg,
        #[command(flatten)]
        database: DatabaseArg,
    },
}

#[derive(Args, Debug)]
struct DatabaseArg {
    /// The SQLite file [default: bedside.db, or what the configuration file says]
    #[arg(long, env = "DATABASE_URL", value_name = "PATH")]
    database: Option<String>,
}

#[derive(Args, Debug)]
struct PasswordArg {
    /// Read the password from standard input; without it one is made up and printed
    #[arg(long)]
    password_stdin: bool,
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text).ok_or_else(|| "a role is patient, clinician, guest or admin".to_owned())
}

/// Runs the command that the process was started with.
///
/// # Errors
/// What to tell the person at the terminal.
pub async fn run() -> anyhow::Result<()> {
    let cli = Cli::parse();
    start_logging(&cli.common)?;
    match cli.command {
        Command::Serve(settings) => serve(cli.common.resolve(*settings)?).await,
        Command::Config(ConfigCommand::Check(settings)) => check(cli.common.resolve(*settings)?).await,
        Command::User(command) => user(&cli.common, command).await,
        Command::Contact(command) => contact(&cli.common, command).await,
        Command::Admin(AdminCommand::Create { login, name, password, database }) => {
            add_user(
                &cli.common,
                database,
                password,
                NewUserArgs { login, name, role: Role::Admin, specialty: None },
            )
            .await
        }
        Command::DemoClinic(database) => {
            let accounts = cli.common.accounts(database).await?;
            say(&serde_json::to_string_pretty(&demo::create(&accounts).await?)?);
            Ok(())
        }
        Command::Openapi => {
            say(openapi::document().trim_end());
            Ok(())
        }
    }
}

impl Common {
    fn settings(&self, given: Settings) -> anyhow::Result<Settings> {
        match &self.config {
            Some(path) => Ok(given.or(Settings::from_file(path)?)),
            None => Ok(given),
        }
    }

    fn resolve(&self, given: Settings) -> anyhow::Result<Config> {
        Ok(self.settings(given)?.resolve()?)
    }

    async fn accounts(&self, database: DatabaseArg) -> anyhow::Result<Accounts> {
        let settings = self.settings(Settings { database: database.database, ..Settings::default() })?;
        let path = settings.database_path();
        let cost = Config::new(&path).passwords;
        Ok(Accounts::new(Database::open(&path).await?, Passwords::new(cost)))
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::receive().context("signals can't be received")?;
    let mut running = server::start(config).await?;
    say(&format!("Bedside serves at {}", running.url()));
    let ended = loop {
        tokio::select! {
            told = signals.next() => match told {
                Signal::Stop => break Ok(()),
                Signal::Reload => running.reload_tls().await,
            },
            failed = running.failed() => break Err(failed.into()),
        }
    };
    running.shutdown().await;
    ended
}

async fn check(config: Config) -> anyhow::Result<()> {
    server::check_listener(&config)?;
    if let Some(files) = &config.tls {
        listener::load_tls(files).await?;
    }
    let folder = config.database.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        bail!("the database's folder {} does not exist", folder.display());
    }
    let tls = if config.tls.is_some() { "with TLS" } else { "without TLS" };
    say(&format!("listen      {} {tls}", config.listen));
    say(&format!("database    {}", config.database.display()));
    BlobStore::check(&config.blobs).await?;
    match &config.blobs {
        BlobConfig::Folder(folder) => say(&format!("attachments {}", folder.display())),
        BlobConfig::Bucket(bucket) => say(&format!("attachments bucket {}", bucket.name)),
    }
    say(&format!("clinic      {}", config.clinic_name));
    server::look_for_archive(&config).await?;
    if let Some(archive) = &config.archive_user {
        say(&format!("archive     {archive}"));
    }
    match config.turn.embedded {
        true => say(&format!("TURN        embedded, UDP {}", config.turn.listen)),
        false => say("TURN        not embedded"),
    }
    for url in &config.turn.urls {
        say(&format!("            {url}"));
    }
    if !config.turn.embedded && config.turn.urls.is_empty() {
        say("            none: calls between networks that block direct connections will fail");
    }
    say("These settings are right.");
    Ok(())
}

async fn user(common: &Common, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Add { login, name, role, specialty, password, database } => {
            add_user(common, database, password, NewUserArgs { login, name, role, specialty }).await
        }
        UserCommand::List(database) => {
            for account in common.accounts(database).await?.list().await? {
                let (login, name) = (account.login.reveal(), account.name.reveal());
                let disabled = if account.disabled { "\tdisabled" } else { "" };
                say(&format!("{}\t{login}\t{}\t{name}{disabled}", account.id, account.role.as_str()));
            }
            Ok(())
        }
        UserCommand::Password { login, password, database } => {
            let accounts = common.accounts(database).await?;
            let (password, made_up) = password.read()?;
            accounts.set_password(&login, password.clone()).await?;
            say(&made_up
                .map_or_else(|| "The password is set.".to_owned(), |text| format!("password\t{text}")));
            Ok(())
        }
        UserCommand::Disable(LoginArg { login, database }) => {
            common.accounts(database).await?.set_disabled(&login, true).await?;
            say("The account is disabled and signed out everywhere.");
            Ok(())
        }
        UserCommand::Enable(LoginArg { login, database }) => {
            common.accounts(database).await?.set_disabled(&login, false).await?;
            say("The account is enabled.");
            Ok(())
        }
    }
}

async fn contact(common: &Common, command: ContactCommand) -> anyhow::Result<()> {
    match command {
        ContactCommand::Add(PairArg { one, other, database }) => {
            common.accounts(database).await?.add_contact(&one, &other).await?;
            say("They can see and call each other now.");
        }
        ContactCommand::Remove(PairArg { one, other, database }) => {
            common.accounts(database).await?.remove_contact(&one, &other).await?;
            say("They can't see and call each other any more.");
        }
    }
    Ok(())
}

struct NewUserArgs {
    login: String,
    name: String,
    role: Role,
    specialty: Option<String>,
}

async fn add_user(
    common: &Common,
    database: DatabaseArg,
    password: PasswordArg,
    args: NewUserArgs,
) -> anyhow::Result<()> {
    let accounts = common.accounts(database).await?;
    let (password, made_up) = password.read()?;
    let NewUserArgs { login, name, role, specialty } = args;
    let id = accounts
        .add(NewUser { login: Pii::new(login), name: Pii::new(name), role, specialty, password })
        .await?;
    say(&format!("id\t{id}"));
    if let Some(text) = made_up {
        say(&format!("password\t{text}"));
    }
    Ok(())
}

impl PasswordArg {
    /// The password, and its text when nobody knows it yet.
    fn read(&self) -> anyhow::Result<(Secret, Option<String>)> {
        if !self.password_stdin {
            let made_up = demo::make_password();
            return Ok((Secret::new(made_up.clone()), Some(made_up)));
        }
        let mut text = String::new();
        std::io::stdin().take(4096).read_to_string(&mut text).context("no password on standard input")?;
        Ok((Secret::new(text.trim_end_matches(['\r', '\n']).to_owned()), None))
    }
}

fn start_logging(common: &Common) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&common.log).context("--log is not a filter like \"info\"")?;
    // Quiet unless asked for by name: these crates log addresses of peers and SQL.
    let filter = ["sqlx=warn", "turn=error", "webrtc_util=error", "hyper=warn", "rustls=warn"]
        .into_iter()
        .filter(|quiet| !common.log.contains(quiet.split('=').next().unwrap_or_default()))
        .filter_map(|quiet| quiet.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match common.log_format {
        LogFormat::Human => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}

fn say(line: &str) {
    use std::io::Write;
    // A closed pipe is the reader's business.
    let _ = writeln!(std::io::stdout(), "{line}");
}
