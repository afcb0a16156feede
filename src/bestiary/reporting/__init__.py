"""Results of a run, an audit or a comparison -> HTML pages, Markdown, LaTeX and PDF for people."""
