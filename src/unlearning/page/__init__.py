"""metrics/report.html: verdicts, tables, curves, pictures and provenance in one file, to sign for and to audit."""
