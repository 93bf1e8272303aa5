//! `mwid man`: one manual page for the program and all its commands, made from the words of `args`.
use super::{Exit, Failure, args, output};
use clap::CommandFactory;

pub(super) fn run() -> Result<(), Failure> {
    let page =
        page().map_err(|error| Failure::new(Exit::Software, "cannot make the manual page").because(error))?;
    output::data(&String::from_utf8_lossy(&page))
}

fn page() -> std::io::Result<Vec<u8>> {
    let mut program = args::Args::command();
    program.build();
    let mut page = Vec::new();
    clap_mangen::Man::new(program.clone()).render(&mut page)?;
    for command in program.get_subcommands().filter(|c| c.get_name() != "help") {
        let man = clap_mangen::Man::new(command.clone());
        page.extend_from_slice(format!(".SH COMMAND {}\n", command.get_name().to_uppercase()).as_bytes());
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_tells_of_each_command() {
        let page = String::from_utf8(super::page().unwrap()).unwrap();
        for part in [".TH mwid", "COMMAND RUN", "COMMAND CHECK", "\\-\\-json"] {
            assert!(page.contains(part), "{part} is missing in:\n{page}");
        }
    }
}
