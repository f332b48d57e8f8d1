"""What a kind of function is, and kinds that are only known from their schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo_model.corpus.values import Language, Values
from demo_model.corpus.words import bars

Draw = Callable[[Values, Language], Any]
Texts = dict[Language, tuple[str, ...]]


@dataclass(frozen=True)
class Argument:
    """One argument that the question always mentions."""

    names: tuple[str, ...]
    describe: tuple[str, ...]
    draw: Draw
    kind: str = "string"


@dataclass(frozen=True)
class Family:
    """Functions of one purpose; ``outcome`` names how a result is answered."""

    names: tuple[str, ...]
    describe: tuple[str, ...]
    arguments: tuple[Argument, ...]
    questions: Texts
    outcome: str = "generic"


def place(v: Values, language: Language) -> str:
    return v.place(language)


def person(v: Values, language: Language) -> str:
    return v.person(language)


def phrase(v: Values, language: Language) -> str:
    return v.phrase(language)


def number(v: Values, language: Language) -> Any:
    return v.integer(0, v.pick((9, 99, 999, 9999)))


def day(v: Values, language: Language) -> str:
    if v.chance(0.4):
        return v.date()
    return v.pick(
        ("明天", "后天", "今天", "周五", "下周一")
        if language == "zh"
        else ("tomorrow", "today", "Friday", "next Monday")
    )


CITY = Argument(
    ("city", "location", "city", "location", "place", "city_name", "address", "region"),
    bars(
        "城市名|城市名称，如北京|城市|要查询的城市|地点|The city name|City name|City|The city and state, e.g. San Francisco, CA|"
        "City and country e.g. Bogotá, Colombia|The location to look up|城市或地区"
    ),
    place,
)
NOUNS = (
    ("订单", "orders"),
    ("工资", "salary"),
    ("地址", "address"),
    ("生日", "birthday"),
    ("课表", "timetable"),
    ("积分", "points"),
    ("账单", "bills"),
    ("合同", "contracts"),
    ("任务", "tasks"),
    ("评论", "comments"),
    ("库房", "warehouse"),
    ("车牌", "license plate"),
    ("比分", "match score"),
    ("票房", "box office"),
    ("剧情", "plot"),
    ("配料", "ingredients"),
    ("做法", "recipe"),
    ("病历", "records"),
    ("药品", "medicines"),
    ("座位", "seats"),
    ("优惠", "discounts"),
    ("保修", "warranty"),
    ("颜色", "color"),
    ("型号", "model number"),
    ("流量", "data usage"),
    ("考勤", "attendance"),
    ("房价", "house prices"),
    ("油价", "gas price"),
    ("潮汐", "tides"),
    ("日出时间", "sunrise"),
    ("人口", "population"),
    ("菜单", "menu"),
    ("库存", "stock level"),
    ("评分", "rating"),
    ("海拔", "altitude"),
    ("作者", "author"),
    ("成绩", "score"),
    ("余额", "balance"),
    ("排名", "ranking"),
    ("尺寸", "size"),
    ("重量", "weight"),
    ("版本", "version"),
    ("假期", "holidays"),
    ("空气质量", "air quality"),
    ("湿度", "humidity"),
    ("门票", "tickets"),
    ("课程", "courses"),
    ("日志", "logs"),
    ("配置", "configuration"),
    ("电量", "battery level"),
    ("路况", "traffic"),
    ("营业时间", "opening hours"),
    ("新闻", "news"),
    ("歌词", "lyrics"),
    ("简介", "summary"),
    ("文件", "files"),
    ("首字母", "initials"),
    ("邮编", "postal code"),
    ("区号", "area code"),
    ("定义", "definition"),
    ("会议", "meetings"),
)
CONDITIONS = {
    "zh": bars("晴|多云|小雨|阴|大雪|雷阵雨|雾|大风|晴转多云|中雨|暴雨|晴朗|小雪"),
    "en": bars(
        "sunny|cloudy|rainy|snowy|windy|foggy|clear|partly cloudy|light rain|stormy|Sunny|Cloudy|Clear sky|overcast"
    ),
}
SUBJECT_KEYS = (
    "name",
    "id",
    "target",
    "item",
    "key",
    "title",
    "product",
    "place",
    "query",
    "input",
    "value",
)


def generic_family(v: Values) -> Family:
    """A function whose purpose is only known from its schema."""
    if v.chance(0.2):
        zh, en = v.han(2, 3), v.pseudo_word(2, 2)
    else:
        zh, en = v.pick(NOUNS)
    stem = v.pick(
        (
            "get_{}",
            "query_{}",
            "lookup_{}",
            "fetch_{}",
            "{}_info",
            "find_{}",
            "check_{}",
            "{}",
            "search_{}",
            "read_{}",
            "get{}",
        )
    )
    english_stem = en.replace(" ", "_") if v.chance(0.75) else v.identifier()
    key = v.pick(SUBJECT_KEYS) if v.chance(0.55) else v.identifier()
    describe = v.pick(
        (
            f"查询{zh}",
            f"获取{zh}",
            f"查询某个对象的{zh}",
            f"Get the {en}",
            f"Look up the {en} of something",
            f"Returns {en}",
        )
    )
    chinese_only = describe[0] in "查获"
    draw: Draw = v.pick(
        (
            place,
            person,
            phrase,
            lambda w, _: w.digits(2, 6),
            lambda w, _: w.pseudo_word(),
            lambda w, _: w.code(),
        )
    )
    zh_noun = zh if chinese_only or v.chance(0.5) else en
    en_noun = en if not chinese_only or zh not in dict(NOUNS) else dict(NOUNS)[zh]
    questions: Texts = {
        "zh": tuple(
            p.replace("{n}", zh_noun)
            for p in bars(
                "查询{0}的{n}|{0}的{n}是多少？|{0}的{n}|帮我查一下{0}的{n}|获取{0}的{n}|我想知道{0}的{n}|{0}的{n}怎么样？|{0}的{n}是什么？"
            )
        ),
        "en": tuple(
            p.replace("{n}", en_noun)
            for p in bars(
                "What is the {n} of {0}?|Get the {n} of {0}|Look up the {n} for {0}|Check {n} of {0}|Tell me the {n} of {0}.|Show me the {n} of {0}"
            )
        ),
    }
    name = stem.format(english_stem)
    return Family(
        (name,),
        (describe,),
        (Argument((key,), (f"{zh}的对象", "名称", f"The {key}", key, "Name"), draw),),
        questions,
    )
