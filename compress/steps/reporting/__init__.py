"""What a run tells: report.json, report.md and report.html."""
