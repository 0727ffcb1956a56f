"use strict";

// The table: a click on a column head sorts by it; another click reverses the order.
const table = document.getElementById("utterances");

function sortBy(head) {
  const column = head.cellIndex;
  const ascending = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value;
  const compare = column === 0
    ? (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true })
    : (a, b) => Math.sign(Number(value(a)) - Number(value(b))) || 0;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => (ascending ? compare(a, b) : compare(b, a)));
  table.tBodies[0].append(...rows);
}

for (const head of table.tHead.rows[0].cells) {
  head.querySelector("button").addEventListener("click", () => sortBy(head));
}

// Labels that would overlap get separate rows.
function layOut(lane) {
  const tokens = [...lane.querySelectorAll(".token")];
  const ends = [];
  const rows = tokens.map((token) => {
    const left = token.offsetLeft;
    let row = ends.findIndex((end) => end <= left);
    if (row < 0) row = ends.length;
    ends[row] = left + token.offsetWidth + 2;
    return row;
  });
  tokens.forEach((token, i) => token.style.setProperty("--row", rows[i]));
  lane.style.setProperty("--rows", Math.max(ends.length, 1));
}

const scale = document.getElementById("scale");

function rescale() {
  document.documentElement.style.setProperty("--scale", scale.value);
  document.querySelectorAll(".lane").forEach(layOut);
  document.querySelectorAll(".track").forEach((track) => track.dispatchEvent(new Event("rescale")));
}

scale.addEventListener("input", rescale);

// The cursor follows the audio; a click on the time line seeks the audio to that time.
for (const track of document.querySelectorAll(".track")) {
  const audio = track.closest("section").querySelector("audio");
  const cursor = track.querySelector(".cursor");
  if (!audio) {
    cursor.remove();
    continue;
  }
  const timeline = track.parentNode;

  const show = () => {
    cursor.style.setProperty("--now", audio.currentTime);
    const left = audio.currentTime * scale.value - timeline.scrollLeft;
    if (left < 0 || left > timeline.clientWidth) {
      timeline.scrollLeft += left - timeline.clientWidth / 8;
    }
  };
  const follow = () => {
    show();
    if (!audio.paused && !audio.ended) requestAnimationFrame(follow);
  };
  audio.addEventListener("play", () => {
    for (const other of document.querySelectorAll("audio")) if (other !== audio) other.pause();
    follow();
  });
  audio.addEventListener("seeked", show);
  audio.addEventListener("timeupdate", show);
  track.addEventListener("rescale", show);

  track.addEventListener("click", (event) => {
    const seconds = (event.clientX - track.getBoundingClientRect().left) / scale.value;
    audio.currentTime = Math.min(Math.max(seconds, 0), audio.duration || 0);
  });
  timeline.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    if (audio.paused) audio.play();
    else audio.pause();
  });
}

rescale();
