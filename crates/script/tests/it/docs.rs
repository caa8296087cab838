//! Every program of `docs/scripts.md` is compiled and run with the cases that follow it.

use attestry_script::{Case, Condition, Options, Scripts, Transform, run_cases};

/// The fenced blocks: what stands behind the fence, the text, the line it begins on.
fn blocks(page: &str) -> Vec<(&str, String, usize)> {
    let mut blocks = Vec::new();
    let mut open: Option<(&str, String, usize)> = None;
    for (line, text) in page.lines().enumerate() {
        match (&mut open, text.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind, String::new(), line + 2)),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, block, _)), None) => {
                block.push_str(text);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn the_programs_of_the_manual_do_what_it_says() {
    let page = include_str!("../../../../docs/scripts.md");
    let blocks = blocks(page);
    let options = Options::default();
    let mut programs = 0;
    for pair in blocks.chunks(2) {
        let [(kind, source, line), (after, text, cases_line)] = pair else { panic!("a block without cases") };
        let line = format!("docs/scripts.md:{line}");
        let (condition, transform) = match *kind {
            "vrl condition" => (Some(Condition::compile(source, &options)), None),
            "vrl transform" => (None, Some(Transform::compile(source, &options))),
            "vrl refused" => {
                let error = Condition::compile(source, &options).expect_err(&line);
                let (at, column) = error.place();
                let first = &error.findings()[0];
                let shown = format!("line {at}, column {column}: {}\n", first.message);
                assert!(shown.starts_with(text.trim_end()), "{line}: {shown}");
                programs += 1;
                continue;
            }
            other => panic!("{line}: a block of {other}"),
        };
        let condition = condition.map(|it| it.unwrap_or_else(|error| panic!("{line}\n{}", error.rendered())));
        let transform = transform.map(|it| it.unwrap_or_else(|error| panic!("{line}\n{}", error.rendered())));
        assert_eq!(*after, "yaml", "{line}");
        let cases: Vec<Case> = serde_saphyr::from_str(text)
            .unwrap_or_else(|error| panic!("docs/scripts.md:{cases_line}: {error}"));
        assert!(!cases.is_empty(), "{line}");
        let scripts =
            Scripts { transform: transform.as_ref(), condition: condition.as_ref(), ..Scripts::default() };
        for result in run_cases(&scripts, &cases) {
            assert!(result.passed(), "{line}: {result}");
        }
        programs += 1;
    }
    assert!(programs >= 8, "{programs} programs were found");
}
