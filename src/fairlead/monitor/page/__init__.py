"""The report as one page of HTML that needs nothing else: to be opened from a disk, sent by mail, printed.

```
Report ─▶ view (words, charts: plain data) ─▶ report.html + report.css (Jinja, everything escaped) ─▶ one text
```

`document.html` is what others call. It looks as the pages of the request half do, from whose palette a test keeps ours from departing;
it cannot share their file, because neither half imports the other.
"""
