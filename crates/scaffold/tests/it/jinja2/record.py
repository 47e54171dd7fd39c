"""Records what Jinja2 itself makes of the templates in templates.txt: `pip install jinja2 && python3 record.py`.

Each line of templates.txt is a template; `\\n` is a line feed. The data is data.json. What comes out is outputs.json:
for each template, its output, or null where Jinja2 refuses.
"""

import json
import pathlib

import jinja2

here = pathlib.Path(__file__).parent
data = json.loads((here / "data.json").read_text())
environment = jinja2.Environment(
    keep_trailing_newline=True, extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"]
)
outputs = []
for line in (here / "templates.txt").read_text().splitlines():
    template = line.replace("\\n", "\n")
    try:
        outputs.append([line, environment.from_string(template).render(**data)])
    except Exception as error:
        outputs.append([line, None])
lines = ",\n".join(json.dumps(pair, ensure_ascii=False) for pair in outputs)
(here / "outputs.json").write_text("[\n" + lines + "\n]\n")
print(jinja2.__version__, len(outputs), sum(output is None for _, output in outputs))
