"""Word lists of the corpus, all written for this project.

Places and persons exist twice: one list for training and one that only the evaluation uses,
so that the evaluation measures copying and not memory.
"""

from __future__ import annotations


def _split(text: str) -> tuple[str, ...]:
    """Words of a block, in order."""
    return tuple(text.split())


def bars(text: str) -> tuple[str, ...]:
    """Parts between bars; a line break counts as a bar."""
    return tuple(part.strip() for part in text.replace("\n", "|").split("|") if part.strip())


def _gb2312_level_one() -> str:
    """The 3755 common Han characters, taken from the code table itself."""
    rows = (bytes([high, low]) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF))
    return "".join(pair.decode("gb2312", errors="ignore") for pair in rows)


HAN = _gb2312_level_one()

PLACES_ZH = _split("""
北京 上海 广州 深圳 天津 重庆 成都 杭州 武汉 西安 南京 苏州 长沙 郑州 青岛 大连 宁波 厦门 福州 济南 合肥 昆明 沈阳
长春 哈尔滨 石家庄 太原 南昌 南宁 贵阳 兰州 西宁 银川 拉萨 海口 三亚 无锡 常州 扬州 徐州 温州 嘉兴 绍兴 金华 台州
泉州 漳州 烟台 潍坊 洛阳 开封 宜昌 襄阳 岳阳 株洲 桂林 柳州 珠海 佛山 东莞 中山 惠州 汕头 遵义 大理 丽江 乌鲁木齐
香港 澳门 台北 高雄 东京 大阪 首尔 曼谷 新加坡 巴黎 伦敦 纽约 柏林 罗马 悉尼 莫斯科 海淀区 浦东新区 朝阳区 唐山 保定
""")
PLACES_ZH_HELD_OUT = _split("""
景德镇 呼伦贝尔 张家界 敦煌 九江 连云港 牡丹江 秦皇岛 攀枝花 六盘水 西双版纳 齐齐哈尔 马鞍山 湖州 威海 赣州 荆州
绵阳 曲靖 鄂尔多斯 吐鲁番 曲阜 黄山 镇江 邯郸 清迈 马德里 维也纳 旧金山 里斯本
""")
PLACES_EN = (
    *_split(
        """\nParis London Berlin Rome Madrid Tokyo Beijing Shanghai Sydney Toronto Chicago Seattle Dallas Denver Austin Houston\nMiami Atlanta Vienna Prague Warsaw Athens Dublin Oslo Stockholm Helsinki Amsterdam Brussels Geneva Zurich Munich Hamburg\nMilan Venice Lisbon Barcelona Istanbul Cairo Nairobi Lagos Delhi Mumbai Bangkok Singapore Seoul Osaka Manila Jakarta\nMelbourne Auckland Vancouver Montreal Boston Lima Bogota Santiago Havana Dubai\n"""
    ),
    "New York",
    "San Francisco",
    "Los Angeles",
    "Hong Kong",
    "Mexico City",
    "New Delhi",
    "San Francisco, CA",
    "Boston, MA",
    "Paris, France",
    "London, UK",
    "Rio de Janeiro",
)
PLACES_EN_HELD_OUT = (
    *_split(
        """\nEdinburgh Marseille Krakow Valencia Naples Portland Phoenix Nashville Calgary Perth Hanoi Kyoto Casablanca Tbilisi Riga\nLjubljana Gothenburg Antwerp Bologna Sapporo Quito Accra Brisbane Sofia Tallinn\n"""
    ),
    "Cape Town",
    "Salt Lake City",
    "Kuala Lumpur",
    "Austin, TX",
    "Lyon, France",
)

SURNAMES_ZH = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶"
)
GIVEN_ZH = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红建国志文晨宇浩然子轩雨欣梓涵博诗婷佳怡思远俊峰晓小"
)
NAMES_EN = _split("""
Alice Bob Carol David Emma Frank Grace Henry Ivy Jack Kate Leo Mary Nick Olivia Peter Rose Sam Tom Wendy John Jane Anna
Michael Sarah James Linda Robert Laura Kevin Julia Brian Maria Steven Susan Daniel Nina Paul Rachel Mark Lucy George
""")
NAMES_EN_HELD_OUT = _split("""
Theodore Beatrice Clarence Rosalind Gregory Miriam Cedric Paloma Winston Harriet Desmond Ingrid Malcolm Philippa Conrad
Yvonne Lionel Tabitha Rupert Celeste
""")
PETS_ZH = _split("小白 旺财 咪咪 豆豆 球球 花花 毛毛 可乐 布丁 团子 糯米 大黄 奶茶 雪球 芝麻 年糕")
FOODS_ZH = _split(
    "饺子 面条 火锅 烤鸭 米饭 包子 馒头 豆腐 红烧肉 西瓜 苹果 葡萄 草莓 蛋糕 冰淇淋 寿司 披萨 鱼香肉丝 麻婆豆腐 粽子"
)
FOODS_EN = _split(
    "pizza pasta rice noodles sushi bread cheese apples grapes cake salad soup steak tacos curry chocolate"
)
COLORS = (
    ("红色", "red"),
    ("蓝色", "blue"),
    ("绿色", "green"),
    ("黄色", "yellow"),
    ("黑色", "black"),
    ("白色", "white"),
    ("紫色", "purple"),
    ("橙色", "orange"),
    ("灰色", "gray"),
    ("粉色", "pink"),
)
JOBS = (
    ("医生", "doctor"),
    ("老师", "teacher"),
    ("工程师", "engineer"),
    ("律师", "lawyer"),
    ("护士", "nurse"),
    ("厨师", "chef"),
    ("司机", "driver"),
    ("画家", "painter"),
    ("记者", "journalist"),
    ("农民", "farmer"),
    ("程序员", "programmer"),
    ("会计", "accountant"),
    ("演员", "actor"),
    ("飞行员", "pilot"),
)

# country zh, capital zh, country en, capital en
CAPITALS = tuple(
    tuple(part.strip() for part in line.split("|"))
    for line in """
中国|北京|China|Beijing
法国|巴黎|France|Paris
德国|柏林|Germany|Berlin
英国|伦敦|the United Kingdom|London
意大利|罗马|Italy|Rome
西班牙|马德里|Spain|Madrid
葡萄牙|里斯本|Portugal|Lisbon
日本|东京|Japan|Tokyo
韩国|首尔|South Korea|Seoul
泰国|曼谷|Thailand|Bangkok
越南|河内|Vietnam|Hanoi
印度|新德里|India|New Delhi
俄罗斯|莫斯科|Russia|Moscow
美国|华盛顿|the United States|Washington, D.C.
加拿大|渥太华|Canada|Ottawa
墨西哥|墨西哥城|Mexico|Mexico City
巴西|巴西利亚|Brazil|Brasilia
阿根廷|布宜诺斯艾利斯|Argentina|Buenos Aires
智利|圣地亚哥|Chile|Santiago
秘鲁|利马|Peru|Lima
古巴|哈瓦那|Cuba|Havana
埃及|开罗|Egypt|Cairo
肯尼亚|内罗毕|Kenya|Nairobi
土耳其|安卡拉|Turkey|Ankara
希腊|雅典|Greece|Athens
荷兰|阿姆斯特丹|the Netherlands|Amsterdam
比利时|布鲁塞尔|Belgium|Brussels
瑞士|伯尔尼|Switzerland|Bern
奥地利|维也纳|Austria|Vienna
波兰|华沙|Poland|Warsaw
瑞典|斯德哥尔摩|Sweden|Stockholm
挪威|奥斯陆|Norway|Oslo
芬兰|赫尔辛基|Finland|Helsinki
丹麦|哥本哈根|Denmark|Copenhagen
爱尔兰|都柏林|Ireland|Dublin
澳大利亚|堪培拉|Australia|Canberra
新西兰|惠灵顿|New Zealand|Wellington
印度尼西亚|雅加达|Indonesia|Jakarta
马来西亚|吉隆坡|Malaysia|Kuala Lumpur
菲律宾|马尼拉|the Philippines|Manila
""".strip().splitlines()
)

# word zh, word en
DICTIONARY = tuple(
    tuple(pair.split("/"))
    for pair in _split("""
苹果/apple 香蕉/banana 水/water 火/fire 猫/cat 狗/dog 书/book 学校/school 老师/teacher 学生/student 太阳/sun 月亮/moon
星星/star 红色/red 蓝色/blue 绿色/green 茶/tea 咖啡/coffee 牛奶/milk 面包/bread 朋友/friend 家/home 火车/train 飞机/airplane
汽车/car 电脑/computer 手机/phone 音乐/music 花/flower 树/tree 鱼/fish 鸟/bird 马/horse 山/mountain 海/sea 河/river 雨/rain
雪/snow 风/wind 春天/spring 夏天/summer 秋天/autumn 冬天/winter 早上/morning 晚上/evening 今天/today 明天/tomorrow
时间/time 世界/world 爱/love 谢谢/thanks 你好/hello 再见/goodbye 一/one 二/two 三/three
""")
)

TOPICS_ZH = _split("""
量子力学 相对论 股票市场 区块链 微积分 深度学习 编译原理 唐朝历史 古典音乐 足球比赛 化学反应 航天工程 红烧肉 论语 圆周率 操作系统
数据库索引 气候变化 围棋 文艺复兴 机器学习 人工智能 递归 神经网络 大数据 云计算 量子纠缠 黑洞 光合作用 进化论 基因编辑 疫苗 糖尿病
高血压 失眠 焦虑 抑郁 减肥 健身 跑步 瑜伽 考研 高考 英语学习 面试 简历 职业规划 创业 理财 基金 房价 汇率 通货膨胀 供给侧 市场营销
品牌 广告 电商 直播 短视频 小说 诗歌 散文 剧本 童话 寓言 成语 对联 书法 国画 京剧 相声 电影 电视剧 动漫 游戏 篮球 乒乓球 奥运会
世界杯 旅游 美食 火锅 咖啡 茶道 养猫 养狗 园艺 装修 汽车 新能源 电池 芯片 手机 操作系统 编程 算法 数据结构 排序 二叉树 动态规划 死锁
线程 进程 网络协议 加密 防火墙 前端 后端 测试 运维 容器 微服务 正则表达式 版本控制 设计模式 面向对象 函数式编程 法律 合同 劳动法 离婚
继承 税收 保险 政治 经济 哲学 心理学 社会学 人类学 考古 恐龙 海洋 火山 地震 台风 天文 宇宙 银河系 火星 月球 太阳系 元素周期表
牛顿定律 电磁感应 热力学 概率论 线性代数 几何 数论 方程 三角函数 矩阵 导数 积分 统计 秦始皇 三国演义 红楼梦 西游记 水浒传 长城 故宫
丝绸之路 二战 工业革命 爱因斯坦 孔子 李白 杜甫 莎士比亚 贝多芬 达芬奇 拿破仑 爱情 友情 亲情 孤独 幸福 时间管理 拖延症 沟通 演讲
孩子教育 婚礼 生日 春节 中秋节 母亲节 秋天 春天 大海 故乡 梦想 人生的意义
""")
TOPICS_EN = tuple(
    part.strip()
    for part in """
quantum physics|the stock market|blockchain|calculus|deep learning|compilers|classical music|football|chemistry|rockets
operating systems|databases|climate change|chess|the Renaissance|machine learning|artificial intelligence|recursion
neural networks|cloud computing|black holes|photosynthesis|evolution|gene editing|vaccines|diabetes|insomnia|anxiety
weight loss|yoga|job interviews|my resume|startups|investing|inflation|marketing|a short story|poetry|movies|video games
basketball|the Olympics|travel|cooking|coffee|cats|dogs|gardening|electric cars|batteries|semiconductors|programming
algorithms|data structures|sorting|binary trees|dynamic programming|deadlocks|threads|network protocols|encryption
firewalls|web development|unit tests|containers|microservices|regular expressions|git|design patterns|contract law
taxes|insurance|politics|economics|philosophy|psychology|archaeology|dinosaurs|the ocean|volcanoes|earthquakes|astronomy
the universe|Mars|the periodic table|Newton's laws|thermodynamics|probability|linear algebra|geometry|prime numbers
World War II|the industrial revolution|Einstein|Shakespeare|Beethoven|Napoleon|love|friendship|loneliness|happiness
time management|public speaking|parenting|weddings|birthdays|Christmas|autumn|the meaning of life|a haiku|a limerick
Bitcoin|Python|JavaScript|Rust|Kubernetes|Docker|SQL injection|HTTP caching|TCP|DNS|transformers|large language models
tokenization|reinforcement learning|gravity|relativity|DNA|the immune system|the French Revolution|ancient Rome|Buddhism
""".replace("\n", "|").split("|")
    if part.strip()
)
