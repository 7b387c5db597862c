"""Texts of the kinds that runs are made of, to count tokens on."""

# ruff: noqa: RUF001

from __future__ import annotations

import inspect
import json
import json.decoder
from itertools import takewhile

PLAIN = (
    "A penstock is the gate that meters water into a turbine. Every run ends with exactly one "
    "terminal event, whatever happens to the process, the client or the machine. When the queue is "
    "full, whoever submits has to wait, and nothing that was accepted is ever lost. A person who "
    "looks at the log a year later should be able to tell what was asked for, what was done about "
    "it, and why it ended the way it did. "
)

SAMPLES: dict[str, str] = {
    "plain": PLAIN * 10,
    "code": inspect.getsource(json.decoder),
    "json": json.dumps(
        [
            {"id": n, "name": f"user{n * 37}", "ok": n % 2 == 0, "score": n * 1.37}
            for n in range(150)
        ]
    ),
    "log": "".join(
        f"2026-11-21T20:{n % 60:02d}:{n * 7 % 60:02d}.{n * 913 % 1000:03d}Z INFO worker[{n * 17}] "
        f"request took {n * 3 % 700} ms status=200 path=/runs/{n}/events\n"
        for n in range(150)
    ),
    "markdown": "| name | value | unit |\n|---|---|---|\n"
    + "".join(f"| item {n} | {n * 3} | ms |\n- see [item {n}](docs/item-{n}.md)\n" for n in range(60)),
    "minified": "function(a,b){return a[b]&&a[b].c?(d(e),f=!0):g.h(i,function(j){k+=j})};" * 20,
    "base64": "".join("AQz9kPx3vLm8TfRw"[n * 7 % 16] + "bYc5hJe2NqUi0sGd"[n * 5 % 13] for n in range(900)),
    "chinese": "水門是控制水流進入渦輪機的閘門。每次運行都以恰好一個終止事件結束，並且可以隨時取消。" * 12,
    "japanese": "ペンストックは水車に入る水を調節する門です。実行ごとに一つの終了イベントが必ず記録されます。" * 12,
    "korean": "수문은 터빈으로 들어가는 물의 양을 조절하는 문이다. 모든 실행은 하나의 종료 이벤트로 끝난다." * 12,
    "russian": "Шлюз регулирует воду, поступающую в турбину. Каждый запуск можно всегда отменить. " * 12,
    "arabic": "البوابة تنظم الماء الداخل إلى التوربين. كل تشغيل ينتهي بحدث نهائي واحد بالضبط. " * 12,
    "hindi": "जलद्वार टरबाइन में जाने वाले पानी को नियंत्रित करता है। प्रत्येक रन एक घटना के साथ समाप्त होता है। " * 12,
    "thai": "ประตูน้ำควบคุมน้ำที่เข้าสู่กังหัน ทุกการทำงานจบลงด้วยเหตุการณ์สุดท้ายเพียงหนึ่งเดียว " * 12,
    "german": "Das Schütz regelt das Wasser für die Turbine. Größere Läufe lassen sich jederzeit abbrechen. " * 12,
    "emoji": "🚰🌊🔧🎉😀🚀🔥✅❌ ok " * 30,
}  # fmt: skip

#: One paragraph each in further scripts, to count tokens on.
SCRIPTS: dict[str, str] = {
    "greek": "Η θυρίδα μετρά το νερό που ρέει στον στρόβιλο. Κάθε εκτέλεση τελειώνει με ένα γεγονός."
    * 4,
    "arabic": "تقيس البوابة الماء الذي يتدفق إلى التوربين. تنتهي كل عملية تشغيل بحدث نهائي واحد."
    * 4,
    "hebrew": "השער מודד את המים הזורמים לטורבינה. כל ריצה מסתיימת באירוע אחד." * 4,
    "hindi": "द्वार टरबाइन में बहने वाले पानी को मापता है। हर रन एक अंतिम घटना के साथ समाप्त होता है।"
    * 4,
    "thai": "ประตูวัดน้ำที่ไหลเข้าสู่กังหัน ทุกการทำงานจบลงด้วยเหตุการณ์เดียว" * 4,
    "german": "Die Schütze bemisst das Wasser für die Turbine; größere Läufe müssen länger warten, während kürzere früher fertig würden. "
    * 4,
    "polish": "Zasuwa odmierza wodę płynącą do turbiny. Każde uruchomienie kończy się dokładnie jednym zdarzeniem. "
    * 4,
    "arrows": "→ ✓ ✗ — “quoted” … • ─── │ ├── └── ▶ ■ " * 20,
    "simplified": "闸门计量流入涡轮机的水。每次运行都以一个终止事件结束，无论进程、客户端或机器发生什么情况。队列已满时，提交者会等待或被告知稍后再来。"
    * 4,
}


def common_beginning(one: str, two: str) -> str:
    """What two texts begin with."""
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, two, strict=False))
    return "".join(pair[0] for pair in same)
