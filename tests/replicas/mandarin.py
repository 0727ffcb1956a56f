"""Sentences of news, in AISHELL's spelling: spaces between words, numbers written out."""

from __future__ import annotations

from tests.replicas.words import Words

_SLOTS = {
    "who": """政府 银行 公司 专家 记者 消费者 开发商 运动员 教练 学生 老师 警方 法院 企业 投资者
        市民 医生 球队 网友 导演 专业 人士 业主""",
    "where": "北京 上海 广州 深圳 杭州 南京 成都 武汉 天津 重庆 全国 当地 海外 国内",
    "when": "今年 去年 昨天 目前 未来 上周 近日 晚上 三月 周末 当天 年底",
    "what": """楼市 房价 股票 市场 手机 汽车 电影 比赛 产品 贷款 政策 土地 价格 计划 技术 网络
        合同 新闻 冠军 服务 数据 成绩 问题 利率 ａ股 ｔ恤""",
    "does": """公布 提高 支持 购买 讨论 影响 改变 推出 减少 关注 控制 解决 销售 抑制 取消 赢得
        发现 保护 调整 介绍""",
    "how": "已经 将 可能 不断 继续 正式 再次 共同 明显 主动 立即 首次",
    "adj": "新 高 大 重要 稳定 便宜 快速 国际 传统 普通 移动 年轻 安全 合理",
    "number": "三十 百分之五 两千万 八百 一百二十 六万 十四 九点七",
    "join": "而 但 因此 同时 并且 所以 不过",
    "measure": "亿元 平方米 台 套 人 次 家",
    "state": "上涨 下降 结束 开始 成功 失败 增加 完成 恢复",
}
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(ord("ａ"), ord("ｚ") + 1)}
_PATTERNS = (
    "when where 的 what how state",
    "who how does adj 的 what",
    "join who 在 where does what",
    "where who does 了 number measure what",
    "who 表示 when what 将 state number",
    "when what 对 who 的 what 作用 最 大",
    "join what how state number measure",
    "adj what 让 who does what",
)


def sentences(count: int, *, seed: int) -> list[list[str]]:
    """The words of some sentences; all words occur before one occurs again."""
    words = Words(_SLOTS, seed=seed)
    return [
        [words.take(slot) if slot in _SLOTS else slot for slot in words.pattern(_PATTERNS)]
        for _ in range(count)
    ]


def spoken(words: list[str]) -> str:
    """The input of espeak-ng, which does not know full-width letters."""
    return " ".join(words).translate(_HALF_WIDTH)
