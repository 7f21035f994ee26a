"""Words: verbs that begin a step of a plan, and what asks in other languages mean in English."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


ACTIONS: frozenset[str] = words(
    """
    accept access achieve acquire act adapt add address adjust agree align allocate allow analyse analyze
    announce answer apply approach arrange arrive ask assemble assess assign attach attack attend avoid back
    bake balance begin block boil book break bring brush build buy calculate call capture carry catch celebrate
    change charge check choose clarify clean clear click close coat collect combine come communicate compare
    compile complete conduct configure confirm connect consider consult contact continue convert cook cool
    coordinate copy correct cover create cut debug decide decorate define delete deliver deploy design determine
    develop discuss distribute divide document double download draft drain draw drink drive drop dry eat edit
    educate eliminate enable encourage end engage enjoy ensure enter establish estimate evaluate examine execute
    exercise expand explain explore export extract feast fill filter finalize find finish fix fly fold follow
    form format gather generate get give go grab group grow handle have head heat hire hold identify implement
    import improve include incorporate increase inform insert inspect install integrate introduce invest
    investigate invite iterate join keep know launch lay lead learn leave let limit list listen load locate log
    look maintain make manage map mark measure meet melt merge minimize mix modify monitor mount move navigate
    negotiate note notice obtain offer open operate optimize order organise organize outline overcome pack paint
    park pass pay perform pick place plan plant play pour practice prepare present preserve press prevent
    prioritise prioritize process produce promote propose protect prove provide publish pull purchase push put
    raise reach read receive recommend record recruit reduce refactor refine register release relax remember
    remind remove rename repeat replace report request research reserve reset resolve respond rest restart
    retrieve return reuse review revise rinse roll run save schedule seal search season secure see seek select
    sell send separate serve set share ship shop show simmer sketch sleep slice solve sort speak specify spend
    split spread sprinkle stack start state stay stir stop store structure study submit subtract succumb
    summarise summarize support switch take talk teach tell test think toss track train transfer transform
    translate travel treat try turn type understand unload unstack update upgrade upload use utilise utilize
    validate verify view visit wait wake walk warm wash watch wear weigh wipe work wrap write
    """
)

# Words of other languages that ask for something, by the English word that asks for the same; none is English too.
_ASKING = {
    "write": "schreibe schreib verfasse écris écrivez rédige rédigez escribe escriba redacta escreva escreve"
    " scrivi napisz schrijf напиши напишите yaz",
    "explain": "erkläre erklär erklären explique expliquez explica explícame spiega wyjaśnij объясни объясните"
    " uitleg açıkla",
    "describe": "beschreibe décris décrivez descreva descrivi opisz опиши beschrijf",
    "summarize": "fasse zusammenfassung résume résumez resuma resumir riassumi podsumuj samenvat özetle",
    "translate": "übersetze übersetzen traduis traduisez traduce traduzca traduza traduci przetłumacz переведи"
    " vertaal çevir",
    "what": " que quoi qué quel quelle cosa quale czym что какой ",
    "why": "warum pourquoi por-qué porquê perché dlaczego почему waarom neden",
    "how": "wie cómo como jak как hoe nasıl",
    "plan": " planen planifie planifiez planifica planeje pianifica zaplanuj план спланируй planla",
    "steps": "schritte étapes pasos passos passi passaggi kroki шаги stappen adımlar",
    "list": "liste listez lista liste enumera elenca wypisz перечисли",
    "function": "funktion fonction función função funzione funkcję funkcja функцию функция functie fonksiyon",
    "code": "quellcode codice código kod код",
    "program": "programm programme programa programma programuj программу",
    "implement": "implementiere implementa implémente implementar zaimplementuj реализуй",
    "create": "erstelle crée créez crea cree crie utwórz stwórz создай maak oluştur",
    "search": "suche cherche recherche busca busque cerca wyszukaj найди zoek ara",
    "show": "zeige zeig montre muestra mostra pokaż покажи toon göster",
    "send": "sende schicke envoie envía envie invia wyślij отправь stuur gönder",
    "book": "buche réserve reserva reserve prenota zarezerwuj забронируй boek",
    "weather": "wetter météo tiempo clima meteo pogoda погода weer hava",
    "email": "e-mail courriel correo posta wiadomość письмо",
    "story": "geschichte histoire cuento historia storia historię история рассказ verhaal hikaye",
}
IN_ENGLISH: dict[str, str] = {foreign: word for word, others in _ASKING.items() for foreign in others.split()}

# The same for writing without spaces: parts of it.
_PARTS = {
    "write": "写 寫 書い 작성",
    "explain": "解释 解釋 説明 설명",
    "summarize": "总结 總結 要約 요약",
    "translate": "翻译 翻譯 翻訳 번역",
    "plan": "计划 計劃 計画 계획",
    "steps": "步骤 步驟 手順 단계",
    "code": "代码 代碼 コード 코드",
    "function": "函数 関数 함수",
    "program": "程序",
    "search": "查询 搜索 検索 검색",
    "weather": "天气 天気 날씨",
    "what": "什么 何 무엇",
    "why": "为什么",
    "how": "如何 怎么",
}
SCRIPTS: dict[str, str] = {part: word for word, parts in _PARTS.items() for part in parts.split()}

# What the words of an ask come to.
LEXICONS: dict[str, frozenset[str]] = {
    name: frozenset(listed.split())
    for name, listed in {
        "making": "write make create generate build implement draft compose produce give prepare design develop"
        " code complete finish add fix refactor port convert rewrite optimize outline propose devise"
        " sketch break list plan",
        "code": "function class method script code program test tests unit query sql snippet component endpoint"
        " module dockerfile parser regex algorithm decorator migration makefile cli api patch diff def"
        " import return bug app",
        "a language": "python javascript typescript java rust golang sql bash shell html css react kotlin ruby php"
        " swift scala perl haskell matlab powershell",
        "text": "email letter story poem essay paragraph paragraphs article message blog post summary report note"
        " reply sentence sentences announcement review words caption tweet speech dialogue song",
        "steps": "plan roadmap outline checklist agenda schedule itinerary steps step milestones tutorial recipe"
        " instructions procedure subtasks",
        "telling": "explain describe summarize summarise tell what why who compare translate rephrase paraphrase"
        " discuss introduce elaborate difference meaning",
        "doing": "weather search find look book send get fetch check call run open read delete update remind"
        " calculate order cancel set play show tool tools use retrieve lookup",
        "JSON": "json schema object array",
        "thanks": "thanks thank great perfect bye hello hi",
        "consent": "yes confirm proceed sure ok okay please",
    }.items()
}

# Whose instructions the words of a system prompt are.
SPEAKERS: dict[str, frozenset[str]] = {
    "planner": words("planner planning decompose decomposes subtasks"),
    "programmer": words("software python coding programmer programming backend frontend developer"),
    "writer": words("friendly support writer writing editor copywriter translator"),
}

# Words that are in everything.
NOISE = words("the of to and in is it for on with my me you your this that be are an as at by or from")
