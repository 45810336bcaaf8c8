import { useEffect, useRef } from "react";

/** Returns a function that focuses the element with this id as soon as it is rendered. */
export function useFocus() {
  const id = useRef("");
  useEffect(() => {
    const element = document.getElementById(id.current);
    if (!element) return;
    element.focus();
    id.current = "";
  });
  return (newId: string) => {
    id.current = newId;
  };
}
